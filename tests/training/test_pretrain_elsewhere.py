"""Pretraining where a tool is missing or files lie elsewhere: no C++ compiler, tile arrays on another disk."""

import json
import logging
import os
from pathlib import Path

import pytest
import torch

from campfire.core.files import write_table
from campfire.training import launch
from campfire.training.compiler import compiler_problem
from campfire.training.engine import Engine
from campfire.training.processes import Processes
from support.pretrain_plates import PLATES, options, same_run, split_table, three_plates

SHORT = options(epochs=1, snapshot_tiles=0)


def test_without_a_compiler_a_run_is_eager_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        engine = Engine(options(compile=True), Processes(0, 1, torch.device("cpu")))
    assert not engine.compiled
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and "no C++ compiler for torch.compile (there is no g++); install one" in said[0]
    assert "set `compile: false`" in said[0] and "\n" not in said[0]


@pytest.mark.parametrize(
    ("device", "variable", "program"), [("cpu", "CXX", "g++"), ("cuda", "CC", "gcc"), ("cuda", "CC", "clang")]
)
def test_the_compiler_of_each_device(
    device: str, variable: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    assert variable not in compiler_problem(torch.device(device)) and compiler_problem(torch.device(device))
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    assert compiler_problem(torch.device(device)) == ""
    monkeypatch.setenv(variable, "/opt/gone/g++ -O2")
    assert f"{variable} is /opt/gone/g++ -O2, which is not there" in compiler_problem(torch.device(device))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of a run on tile arrays that are where they were made."""
    folder = tmp_path_factory.mktemp("before")
    write_table(split_table(PLATES), folder / "wells.parquet")
    plates = three_plates(folder / "tiles")
    assert launch(SHORT, plates, folder / "wells.parquet", folder / "run", folder / "state") == 0
    return folder / "run"


@pytest.mark.parametrize("linked", [["five.npy"], ["five.npy", "five.parquet"], ["five.parquet"]])
def test_tile_arrays_that_were_moved_and_linked_back(linked: list[str], before: Path, tmp_path: Path) -> None:
    plates = three_plates(tmp_path / "tiles")
    write_table(split_table(PLATES), tmp_path / "wells.parquet")
    for number, file in enumerate(linked):
        disk = tmp_path / f"disk{number}"
        disk.mkdir()
        os.replace(tmp_path / "tiles" / file, disk / file)
        (tmp_path / "tiles" / file).symlink_to(disk / file)
    assert launch(SHORT, plates, tmp_path / "wells.parquet", tmp_path / "after", tmp_path / "state") == 0
    same_run(before, tmp_path / "after")
    given = json.loads(next((tmp_path / "state").glob("run-*.json")).read_text())
    assert given["plates"] == [str(path) for path in plates], "links are not followed"
