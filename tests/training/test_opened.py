"""A node's processes read the same tiles as one alone, from one opening, and leave no file behind."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from campfire.core.errors import DataError
from campfire.core.random import keyed_generator
from campfire.training.epoch_plan import plan_epoch
from campfire.training.launcher import start
from campfire.training.loader import Loader
from campfire.training.opened import Opened, once_per_node, pack, unpack
from campfire.training.processes import Processes
from campfire.training.source import Source, data_digest, open_sources
from support.pretrain_plates import split_table, write_plate

CHANNELS = ["DNA", "AGP", "Mito"]
TWO = """
import sys, tempfile
from pathlib import Path
import campfire.training.opened as opened
from campfire.training.processes import join
sys.path.insert(0, {tests!r})
from test_opened import CHANNELS, first_batches, opened_plates
tempfile.tempdir = {folder!r}
calls = []
def open_all():
    calls.append(1)
    return opened_plates([Path(name) for name in {paths!r}])
with join("cpu") as processes:
    found = opened.once_per_node(processes, open_all)
    assert len(calls) == (processes.local == 0), calls
    text = found.data + " " + first_batches(found.train)
    assert len(set(processes.gather_objects(text))) == 1
    if processes.first:
        Path({folder!r}, "said").write_text(text)
"""


def opened_plates(paths: list[Path], reading: str = "positioned") -> Opened:
    train, val, digests = open_sources(paths, split_table([p.stem for p in paths]), CHANNELS, reading=reading)  # type: ignore[arg-type]
    return Opened(train, val, data_digest(train, val, digests))


def first_batches(source: Source) -> str:
    plan = plan_epoch([group.tiles for group in source.groups], 64, 1, keyed_generator(3, 0))
    batches = list(Loader(source, 64, seed=3, shard_tiles=16, window_tiles=128).epoch(plan, 0))
    return str(sum(int(b.images.to(torch.int64).sum()) * (k + 1) for k, b in enumerate(batches)))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tiles")
    return [
        write_plate(folder, "five", 130, ["DNA", "AGP", "Mito", "ER", "RNA"], 1),
        write_plate(folder, "three", 110, ["Mito", "DNA", "AGP"], 2),
        write_plate(folder, "two", 60, ["DNA", "ER"], 3),
    ]


@pytest.mark.parametrize("reading", ["map", "positioned"])
def test_packed_tiles_are_those_that_were_opened(paths: list[Path], tmp_path: Path, reading: str) -> None:
    opened = opened_plates(paths, reading)
    found = unpack(pack(opened, tmp_path / "arrays"))
    assert found.data == opened.data and found.val.digest() == opened.val.digest()
    assert found.train.plates == opened.train.plates and found.train.digest() == opened.train.digest()
    assert first_batches(found.train) == first_batches(opened.train)
    plates = [plate for group in found.train.groups for plate in group.plates]
    assert not any(plate.rows.flags.owndata for plate in plates), "maps of the file, not copies"
    assert (tmp_path / "arrays").stat().st_size < 20 * sum(found.train.groups[0].sizes) + 4096
    kinds = np.zeros(len(opened.train.plates), int), np.zeros(len(opened.train.plates), int)
    assert found.train.mixing(*kinds) == opened.train.mixing(*kinds)


def test_altered_tiles_are_still_found(tmp_path: Path) -> None:
    path = write_plate(tmp_path, "P1", 200, CHANNELS, 5)
    found = unpack(pack(opened_plates([path]), tmp_path / "arrays"))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x01\x02\x03\x04")
    with pytest.raises(DataError, match="differs from its index"):
        first_batches(found.train)
        first_batches(found.val)


def test_one_process_alone_writes_nothing(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campfire.training.opened.pack", lambda *arguments: pytest.fail("wrote a file"))
    opened = opened_plates(paths)
    assert once_per_node(Processes(0, 1, torch.device("cpu")), lambda: opened) is opened


def test_a_node_opens_once_and_reads_the_same(paths: list[Path], tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    values = {"tests": str(Path(__file__).parent), "folder": str(tmp_path), "paths": [str(path) for path in paths]}
    script.write_text(
        "import sys\n" + f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n" + TWO.format(**values)
    )
    said: list[str] = []
    assert start([sys.executable, str(script)], 2, tell=said.append) == 0, "\n".join(said)
    opened = opened_plates(paths)
    assert (tmp_path / "said").read_text() == f"{opened.data} {first_batches(opened.train)}"
    assert not list(tmp_path.glob("campfire-tiles-*")), "the shared file is deleted"
