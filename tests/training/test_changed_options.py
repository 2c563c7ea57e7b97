"""A run goes on from a checkpoint with other options of the optimiser, where the user says so, and records it."""

from pathlib import Path
from typing import Any

import pytest

from campfire.core.errors import DivergedError
from campfire.model import read_header
from campfire.training import train
from campfire.training.engine import Engine
from support.pretrain_plates import PLATES, options, split_table, three_plates


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_plates(tmp_path_factory.mktemp("tiles"))


@pytest.fixture
def stopped(plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a run that ended in its second epoch, because its loss was no number."""
    real = Engine._prepare_part

    def poisoned(self: Engine, number: int, batch: Any, source: Any) -> Any:
        made = real(self, number, batch, source)
        if number >= 7:
            made.images[0, 0, 0, 0] = float("nan")
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_prepare_part", poisoned)
        run = options(epochs=2, checkpoint_steps=3, log_steps=1, skip_steps=0)
        with pytest.raises(DivergedError, match="resume_changed"):
            train(run, plates, split_table(PLATES), tmp_path / "run", tmp_path / "state")
    return tmp_path / "state"


def changed(**values: Any) -> Any:
    return options(epochs=2, log_steps=1, skip_steps=0, learning_rate=2e-4, clip=0.5, **values)


def test_a_run_goes_on_with_a_lower_rate_and_says_so(plates: list[Path], stopped: Path, tmp_path: Path) -> None:
    table = train(changed(resume_changed=True), plates, split_table(PLATES), tmp_path / "run", stopped)
    header = read_header(tmp_path / "run/model.safetensors")
    (change,) = header["changes"]
    assert change["step"] == 6 and set(change["changed"]) == {"learning_rate", "clip"}
    assert change["changed"]["clip"] == [options().clip, 0.5]
    assert table["step"].max() == header["steps"] and (tmp_path / "run/snapshots.npz").is_file()


def test_unasked_it_starts_anew(plates: list[Path], stopped: Path, tmp_path: Path) -> None:
    train(changed(), plates, split_table(PLATES), tmp_path / "run", stopped)
    assert read_header(tmp_path / "run/model.safetensors")["changes"] == []


def test_another_model_or_seed_is_another_run(
    plates: list[Path], stopped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(changed(resume_changed=True, seed=5), plates, split_table(PLATES), tmp_path / "run", stopped)
    assert read_header(tmp_path / "run/model.safetensors")["changes"] == []
    assert "of other options:" not in caplog.text
