"""Related encoders against outputs that their authors' own code gave (../shared/data/peers)."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import peers

PEERS = (
    "ca_mae",
    "openphenom",
    "channelvit",
    "contextvit",
    "chada_vit",
    "cell_dino",
    "channel_adaptive_dino",
    "morphem",
    "subcell",
)


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    place = shared / "data" / "peers"
    if not place.is_dir():
        pytest.skip(f"the recorded outputs of related encoders are not at {place}")
    return place


@pytest.fixture(scope="module")
def reports(folder: Path) -> dict[str, list[peers.Report]]:
    found: dict[str, list[peers.Report]] = {peer: [] for peer in PEERS}
    for report in peers.check(folder):
        found[report.peer].append(report)
    return found


@pytest.mark.parametrize("peer", PEERS)
def test_outputs_and_gradients_are_the_authors(reports: dict[str, list[peers.Report]], peer: str) -> None:
    assert reports[peer], f"no outputs of {peer}"
    for report in reports[peer]:
        assert report.passed, report.line()
        # Numbers about the authors' own run, not about the network, are all that is left out.
        assert set(report.left_out) <= {"train_counts_of_2000", "returns_pairs_without_return_class_token"}


def test_command_prints_a_line_per_file_and_fails_above_the_tolerance(folder: Path, tmp_path: Path) -> None:
    import numpy as np

    place = tmp_path / "channel_adaptive_dino"
    place.mkdir()
    for path in (folder / place.name).iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    script = str(Path(peers.__file__))
    good = subprocess.run([sys.executable, script, str(tmp_path)], capture_output=True, text=True)
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.startswith("ok   channel_adaptive_dino")
    with np.load(place / "outputs.npz") as recorded:
        arrays = {key: recorded[key] for key in recorded.files}
    arrays["cls_pair"] = arrays["cls_pair"] + 1e-4
    np.savez(place / "outputs.npz", **arrays)
    bad = subprocess.run([sys.executable, script, str(tmp_path)], capture_output=True, text=True)
    assert bad.returncode == 1
    assert "FAIL" in bad.stdout and "cls_pair" in bad.stdout


def test_folders_that_cannot_be_compared_fail(tmp_path: Path) -> None:
    for name in ("morphem", "another"):
        (tmp_path / name).mkdir()
    found = {report.peer: report for report in peers.check(tmp_path)}
    assert set(found) == {"morphem", "another"} and not any(report.passed for report in found.values())
    assert "no recorded outputs" in found["morphem"].line() and "no encoder of this name" in found["another"].line()


def test_recorded_names_choose_rows_and_images() -> None:
    import numpy as np

    tokens = np.arange(24).reshape(2, 6, 2)
    computed = {"tokens": tokens, "tokens_other_size": tokens[:, ::-1], "block0": tokens}
    assert np.array_equal(peers.find(computed, "tokens_1_every_4th"), tokens[1, ::4])
    assert np.array_equal(peers.find(computed, "tokens_0_every_4th_other_size"), tokens[0, ::-1][::4])
    assert np.array_equal(peers.find(computed, "block0_1_first2"), tokens[1, :2])
    assert peers.find(computed, "cls_all") is None
