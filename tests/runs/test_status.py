"""`campfire status`: states of jobs, rates, disk and the time left, from the files of a made run."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.core.files import write_table
from campfire.runs import job_records, status
from campfire.runs.run_state import Progress, read_progress

NOW = 1_800_000_000.0
GONE = 2**22 - 1
"""No process has this number."""

Made = Callable[..., Progress]


def entry(stage: str, rule: str, name: str, planned: bool = True) -> dict[str, Any]:
    """A job as the run's record has it."""
    plan = {"download_plan": f"results/download/{name}.plan.json"} if rule == "images" else {}
    record = str(job_records.record_path("results/state/provenance", rule, name.split("/")))
    log = f"logs/{rule}/{name}.log"
    return {"stage": stage, "rule": rule, "name": name, "record": record, "log": log, "planned": planned, **plan}


@pytest.fixture
def run(tmp_path: Path) -> Made:
    """A function that writes a run's files and reads them: its jobs with the records of those that have begun."""

    def make(jobs: list[tuple[dict[str, Any], dict[str, Any] | None]], **changes: Any) -> Progress:
        for job, record in jobs:
            if record is not None:
                here = {"host": socket.gethostname(), "process": os.getpid(), "outputs": [], "gpus": 0, "attempts": []}
                write(tmp_path / job["record"], here | record)
        run = {
            "began": NOW - 1000, "host": socket.gethostname(), "process": os.getpid(), "results": "results",
            "jobs": [job for job, _ in jobs],
        }  # fmt: skip
        write(tmp_path / "results/state/run.json", run | changes)
        return read_progress(tmp_path / "results")

    return make


def write(path: Path, value: dict[str, Any]) -> None:
    """Write JSON without waiting for the disk, as there are hundreds of files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def seconds_ago(began: float, ended: float | None = None, **facts: Any) -> dict[str, Any]:
    """The times of a job's record."""
    return {"began": NOW - began, **({} if ended is None else {"ended": NOW - ended}), **facts}


def states(progress: Progress) -> dict[str, str]:
    return {job.entry["name"]: job.state for rule in progress.rules for job in rule.jobs}


def test_each_job_is_done_running_queued_or_failed(run: Made) -> None:
    plates = {
        "before": (False, seconds_ago(90_000, 89_000)),
        "fetched_earlier_without_record": (False, None),
        "done": (True, seconds_ago(900, 800)),
        "running": (True, seconds_ago(100)),
        "queued": (True, None),
        "to_be_remade": (True, seconds_ago(90_000, 89_000)),
        "failed": (True, seconds_ago(500, stopped=NOW - 400)),
        "killed": (True, seconds_ago(500, process=GONE)),
        "on_another_machine": (True, seconds_ago(100, host="node17", process=GONE)),
    }
    jobs = [(entry("tiles", "nuclei", name, planned), record) for name, (planned, record) in plates.items()]
    assert states(run(jobs)) == {
        "before": "done", "fetched_earlier_without_record": "done", "done": "done", "running": "running",
        "queued": "queued", "to_be_remade": "queued", "failed": "failed", "killed": "failed",
        "on_another_machine": "running",
    }  # fmt: skip


def test_a_run_that_is_over_has_no_running_jobs(run: Made) -> None:
    jobs = [(entry("tiles", "nuclei", "P1"), seconds_ago(100, host="node17"))]
    assert states(run(jobs, process=GONE)) == {"P1": "failed"}
    assert "was killed; give the same command again" in status.render(run(jobs, process=GONE), NOW)
    failed = [{"rule": "nuclei", "name": "P2", "log": ""}]
    ended = run([*jobs, (entry("tiles", "nuclei", "P2"), None)], ended=NOW, succeeded=False, failed=failed)
    assert states(ended) == {"P1": "failed", "P2": "failed"}
    assert "failed after 16 min 40 s" in status.render(ended, NOW)
    assert run(jobs, host="login2").at_work is None


def test_bytes_rates_and_the_time_left(run: Made, tmp_path: Path) -> None:
    """Two plates of 300 tiles in 100 s each, one after the other, and two more to come: 200 s left."""
    for plate in ("P1", "P2"):
        write_table(pd.DataFrame({"row": range(300)}), tmp_path / f"results/tiles/{plate}.parquet")
        (tmp_path / f"results/tiles/{plate}.npy").write_bytes(bytes(5000))
        write(tmp_path / f"results/download/{plate}.plan.json", {"bytes": 1_000_000})
    made = [[f"results/tiles/{plate}.npy", f"results/tiles/{plate}.parquet"] for plate in ("P1", "P2")]
    jobs = [
        (entry("images", "images", "P1", planned=False), seconds_ago(2000, 1900)),
        (entry("images", "images", "P2"), seconds_ago(900, 800)),
        (entry("tiles", "cut_tiles", "P1"), seconds_ago(700, 600, outputs=made[0])),
        (entry("tiles", "cut_tiles", "P2"), seconds_ago(600, 500, outputs=made[1])),
        (entry("tiles", "cut_tiles", "P3"), None),
        (entry("tiles", "cut_tiles", "P4"), None),
        (entry("analysis", "probe", "campfire/DNA"), None),
    ]
    progress = run(jobs)
    images, cut, probe = progress.rules
    assert images.bytes == 2_000_000 and images.tiles_per_second is None
    assert cut.bytes > 10_000 and cut.tiles_per_second == pytest.approx(3.0)
    assert cut.seconds_left(NOW, {}) == pytest.approx(200) and probe.seconds_left(NOW, {}) is None
    text = status.render(progress, NOW)
    assert "estimated end: at least 3 min 20 s left" in text and "no job of probe has finished yet" in text
    assert "outstanding jobs will write at least" in text, "what a probe writes is not known yet"
    row = next(line.split() for line in text.splitlines() if "cut_tiles" in line)
    assert row[:6] == ["tiles", "cut_tiles", "2", "0", "2", "0"] and row[8:10] == ["3", "-"]


def test_jobs_of_earlier_runs_do_not_say_how_many_run_at_once(run: Made) -> None:
    """Yesterday's plate, a night without work, then four plates at once: 12 more take three times as long as one."""
    jobs = [(entry("tiles", "nuclei", "before", planned=False), seconds_ago(50_000, 49_900))]
    jobs += [(entry("tiles", "nuclei", f"P{number}"), seconds_ago(900, 800)) for number in range(4)]
    jobs += [(entry("tiles", "nuclei", f"Q{number}"), None) for number in range(12)]
    (nuclei,) = run(jobs).rules
    assert nuclei.seconds_left(NOW, {}) == pytest.approx(300)


def test_pretraining_shows_speed_and_the_share_of_time_that_it_computes(run: Made, tmp_path: Path) -> None:
    step = {
        "event": "step", "time": NOW - 10, "epoch": 4, "epochs": 10, "step": 4000, "steps": 10_000, "loss": 0.31,
        "tiles_per_s": 5200.0, "waited_share": 0.03, "mfu": 0.29, "seconds_left": 6010.0,
    }  # fmt: skip
    log = tmp_path / "results/state/pretrain/campfire/abc/log.jsonl"
    log.parent.mkdir(parents=True)
    lines = [json.dumps({"event": "step", "time": NOW - 20}), json.dumps(step), '{"event": "st']
    log.write_text("x" * 100_000 + "\n" + "\n".join(lines))
    record = seconds_ago(3600, gpus=8, attempts=[{"began": NOW - 10_800, "ended": NOW - 7200, "gpus": 8}])
    progress = run([(entry("pretrain", "pretrain_run", "campfire"), record)], began=NOW - 11_000)
    text = status.render(progress, NOW)
    assert "epoch 4/10, step 4,000/10,000, loss 0.3100, 5,200 tiles/s, computing 97 % of the time" in text
    assert "MFU 29 %" in text and "estimated end: 1 h 40 min left" in text
    (rule,) = progress.rules
    assert rule.gpu_seconds(NOW) == 8 * 7200


def test_trials_of_the_ablation_are_trainings_too(run: Made, tmp_path: Path) -> None:
    step = {
        "event": "step", "time": NOW - 10, "epoch": 1, "epochs": 2, "step": 40, "steps": 100, "loss": 0.9,
        "tiles_per_s": 50.0, "waited_share": 0.0, "seconds_left": 610.0,
    }  # fmt: skip
    names = [f"loss/trial_{number:02d}" for number in range(1, 11)]
    for name in names:
        log = tmp_path / f"results/state/ablation/{name}/abc/log.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps(step))
    progress = run([(entry("pretrain", "ablation_run", name), seconds_ago(100)) for name in names])
    text = status.render(progress, NOW)
    assert "pretraining loss/trial_01: epoch 1/2, step 40/100" in text and "and 2 more trainings at work" in text
    assert "estimated end: 10 min 00 s left" in text
    row = next(line.split() for line in text.splitlines() if "ablation_run" in line)
    assert row[3] == "10" and row[7] == "500"


def test_the_last_errors_and_silent_jobs_are_named(run: Made, tmp_path: Path) -> None:
    for name, text in {
        "P1": "10:00:00 nuclei[P1]: ERROR after 3 s: plate P1: no nucleus\n",
        "P2": "10:00:00 x\n",
    }.items():
        path = tmp_path / f"logs/nuclei/{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (NOW - 1200, NOW - 1200))
    jobs = [
        (entry("tiles", "nuclei", "P1"), seconds_ago(5000, stopped=NOW - 100)),
        (entry("tiles", "nuclei", "P2"), seconds_ago(5000)),
        (entry("tiles", "nuclei", "P3"), seconds_ago(30)),
    ]
    text = status.render(run(jobs, began=NOW - 6000), NOW)
    assert "nuclei P1: plate P1: no nucleus" in text and str(tmp_path / "logs/nuclei/P1.log") in text
    assert "nothing new in the logs of nuclei P2 (20 min 00 s)" in text


def test_no_run_yet_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="no run has begun in"):
        read_progress(tmp_path)
    assert status.main([str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_moved_folder_is_read_where_it_is_now(run: Made, tmp_path: Path) -> None:
    run([(entry("tiles", "nuclei", "P1"), seconds_ago(900, 800))])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results").rename(tmp_path / "elsewhere/results")
    assert states(read_progress(tmp_path / "elsewhere/results")) == {"P1": "done"}


def test_262_plates_take_two_seconds_at_most(run: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The paper's run: records, tile indices and download plans of all plates, and 2,500 jobs of the analysis."""
    jobs: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    index = tmp_path / "results/tiles/P0.parquet"
    write_table(pd.DataFrame({"row": range(1000)}), index)
    for plate in (f"P{number}" for number in range(262)):
        jobs.append((entry("images", "images", plate), seconds_ago(900, 800)))
        write(tmp_path / f"results/download/{plate}.plan.json", {"bytes": 18_000_000_000})
        path = tmp_path / f"results/tiles/{plate}.parquet"
        if path != index:
            os.link(index, path)
        made = {"outputs": [f"results/tiles/{plate}.parquet"], "versions": {str(n): "1.2.3" for n in range(40)}}
        jobs += [
            (entry("tiles", rule, plate), seconds_ago(800, 700, **made))
            for rule in ("nuclei", "cut_tiles", "contact_sheet")
        ]
    jobs += [(entry("analysis", "table", f"table{number}"), None) for number in range(2500)]
    run(jobs)
    began = time.perf_counter()
    assert status.main([str(tmp_path / "results")]) == 0
    took = time.perf_counter() - began
    assert "262" in capsys.readouterr().out
    assert took < 2.0, f"{took:.1f} s"
