"""Processes that are killed, stopped or fail: a run's weights are those of one left alone, and the launcher tells why.

Ranks are processes of their own, forked from one that has imported torch already: each starts in a moment.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.files import write_json, write_table
from campfire.training import EXIT_RESUMABLE, launcher
from campfire.training.launcher import free_port, start
from support.pretrain_plates import PLATES, SMALL_MODEL, options, same_run, split_table, three_plates

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["campfire.training.trainer", "campfire.training.__main__", "torch._dynamo"])


def run_file(folder: Path, plates: list[Path], **changes: Any) -> Path:
    write_table(split_table(PLATES), folder / "wells.parquet")
    write_json(
        folder / "run.json",
        {
            "options": options(**changes).as_dict(), "plates": [str(p) for p in plates],
            "wells": str(folder / "wells.parquet"), "out": str(folder / "run"), "state": str(folder / "state"),
        },
    )  # fmt: skip
    return folder / "run.json"


def one_rank(config: Path, place: dict[str, str], step: int, number: int) -> None:
    """What a process of the run does; it sends itself the signal `number` before optimiser step `step`."""
    from campfire.model.checkpoints import StateFolder
    from campfire.training.__main__ import main
    from campfire.training.engine import Engine

    if place["RANK"] != "0":  # what it goes on from comes from the first process, whatever its own disk shows
        StateFolder.load = lambda _: pytest.fail("looked for a checkpoint itself")  # type: ignore[method-assign]
    real = Engine.step

    def step_or_signal(self: Engine, now: int, *rest: Any) -> None:
        if now == step:
            os.kill(os.getpid(), number)
        real(self, now, *rest)

    Engine.step = step_or_signal  # type: ignore[method-assign]
    os.environ.update(place)
    sys.argv = ["campfire.training", "--config", str(config)]
    sys.exit(main())


def run(config: Path, world: int, step: int = -1, number: int = signal.SIGTERM) -> list[int | None]:
    """Exit codes of the ranks; the last one gets the signal. When it was killed the others are ended, as by `start`."""
    port = str(free_port())
    ranks: list[BaseProcess] = []
    for rank in range(world):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        when = step if rank == world - 1 else -1
        arguments = (config, {name: str(value) for name, value in place.items()}, when, number)
        ranks.append(SERVER.Process(target=one_rank, args=arguments))
        ranks[-1].start()
    ranks[-1].join(120)
    for rank in ranks[:-1]:
        if number == signal.SIGKILL:
            rank.kill()
        rank.join(120)
    return [rank.exitcode for rank in ranks]


@pytest.mark.parametrize("world", [1, 2, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_and_stopped_runs_end_with_the_same_weights(world: int, tmp_path: Path) -> None:
    """kill -9 at a random step, the newest checkpoint truncated, SIGTERM or SIGINT at a random step, then the end."""
    plates = three_plates(tmp_path / "tiles")
    for name in ("alone", "hurt"):
        (tmp_path / name).mkdir()
    changes = {"epochs": 3, "checkpoint_steps": 2, "log_steps": 1}
    alone, hurt = (run_file(tmp_path / name, plates, **changes) for name in ("alone", "hurt"))
    rng = np.random.default_rng(world)
    killed, stopped = int(rng.integers(5, 9)), int(rng.integers(10, 13))

    assert run(hurt, world, killed, signal.SIGKILL)[-1] == -signal.SIGKILL
    assert not (tmp_path / "hurt/run").exists()
    before, newest = sorted((tmp_path / "hurt/state").glob("*/step-*.ckpt"))[-2:]
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert run(hurt, world, stopped, signal.SIGINT if world == 1 else signal.SIGTERM) == [EXIT_RESUMABLE] * world
    assert run(hurt, world) == [0] * world
    assert run(alone, world) == [0] * world

    same_run(tmp_path / "alone/run", tmp_path / "hurt/run")
    (journal,) = (tmp_path / "hurt/state").glob("*/log.jsonl")
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [e["checkpoint"] for e in events if e["event"] == "resume"] == [before.name, f"step-{stopped + 1:09d}.ckpt"]


@pytest.mark.parametrize(
    ("world", "changes"),
    [
        (2, {"max_tiles": 5, "global_batch": 2, "batch_size": 1}),  # the last step has one tile for two processes
        (3, {"max_tiles": 10, "global_batch": 8, "batch_size": 1}),  # 3, 3 and 2 tiles of a step in three passes each
        (4, {"max_tiles": 6, "global_batch": 3, "batch_size": 2, "model": SMALL_MODEL | {"decoder": "per_channel"}}),
    ],
)
def test_processes_without_a_tile_take_part(world: int, changes: dict[str, Any], tmp_path: Path) -> None:
    plates = three_plates(tmp_path / "tiles")
    config = run_file(tmp_path, plates, epochs=2, log_steps=1, validation_tiles=3, **changes)
    assert run(config, world) == [0] * world
    table = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    assert np.isfinite(table["loss"]).all()
    assert (table.loc[table["split"] == "train", "tiles"] == changes["max_tiles"]).all()


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import os, signal, sys, time; rank = int(os.environ['RANK']); {code}"]


def test_signals_reach_every_process_and_their_lines_come_back() -> None:
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    wait = "signal.signal(signal.SIGTERM, lambda *a: sys.exit(75)); print('up', rank, flush=True); time.sleep(60)"
    assert threading.current_thread() is threading.main_thread()
    assert start(python(wait), 2, tell=tell) == EXIT_RESUMABLE
    assert sorted(lines) == ["up 0", "up 1"] and signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("fate", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL)]
)
def test_a_failed_process_ends_the_others(fate: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "SECONDS_AFTER_FAILURE", 0.1)
    assert start(python(f"{fate} if rank else time.sleep(60)"), 2) == code
