"""What a plan costs, from benchmarks and download plans of earlier jobs."""

import json
from pathlib import Path

import pytest

from campfire.runs import cost
from campfire.runs.cost import PlannedJob


def benchmark(path: Path, wall: float, cpu: float | str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{wall}\t0:00:01\t1.0\t{cpu}\n")
    return str(path)


@pytest.fixture
def jobs(tmp_path: Path) -> list[PlannedJob]:
    """Three downloads of which two have records, and a pretraining on four GPUs."""
    times = [benchmark(tmp_path / f"benchmarks/images/P{i}.tsv", 1800.0 * i, 900.0) for i in (1, 2)]
    for i in (1, 2):
        (tmp_path / "download").mkdir(exist_ok=True)
        (tmp_path / f"download/P{i}.plan.json").write_text(json.dumps({"bytes": i * 10**9}))
    times.append(str(tmp_path / "benchmarks/images/P3.tsv"))
    plates = [
        PlannedJob(
            *("images", "images", f"P{i}", i < 3, "cut_tiles: changed options"),
            benchmark=time,
            download_plan=str(tmp_path / f"download/P{i}.plan.json"),
        )
        for i, time in enumerate(times, start=1)
    ]
    trained = benchmark(tmp_path / "benchmarks/pretrain/campfire.tsv", 36000.0, "NA")
    return [
        *plates,
        PlannedJob("pretrain", "pretrain_run", "campfire", True, "images: changed code", 4, trained),
        PlannedJob("analysis", "probe", "a/b", True, "not made yet", 0, str(tmp_path / "benchmarks/probe/a/b.tsv")),
        PlannedJob("analysis", "claims", "", True, "not made yet"),
    ]


def test_own_records_then_the_median_of_the_rule(jobs: list[PlannedJob]) -> None:
    again, new, training, rest = cost.estimate(jobs)
    assert (again.jobs, again.again, again.hours, again.cpu_hours, again.bytes) == (2, True, 1.5, 0.5, 3 * 10**9)
    assert (new.jobs, new.again, new.hours, new.bytes) == (1, False, 0.75, 15 * 10**8)
    assert (new.measured, new.estimated) == (0, 1)
    assert (training.hours, training.gpu_hours, training.cpu_hours) == (10, 40, 10)
    assert (rest.jobs, rest.hours, rest.measured, rest.estimated) == (2, 0, 0, 0)


def test_only_finished_expensive_work_must_be_confirmed(jobs: list[PlannedJob]) -> None:
    rows, guarded = cost.estimate(jobs), {"images": 0.0, "pretrain": 0.0, "embed": 24.0}
    assert [row.stage for row in cost.forbidden(rows, guarded, [])] == ["images", "pretrain"]
    assert [row.stage for row in cost.forbidden(rows, guarded, ["images"])] == ["pretrain"]
    assert cost.forbidden(rows, guarded, ["all"]) == []
    assert [row.stage for row in cost.forbidden(rows, {"images": 0.4, "pretrain": 41.0}, [])] == ["images"]
    assert cost.forbidden([rows[1]], guarded, []) == [], "the first time asks nothing"


def test_table(jobs: list[PlannedJob]) -> None:
    text = cost.render(cost.estimate(jobs))
    assert "images    images           2  again  3.0 GB    30 min         -  cut_tiles: changed options" in text
    assert "40.0 h" in text and "4.5 GB" in text
    assert "3 jobs as they took last time, 1 as the median of their rule, 2 without a record" in text
