"""What the guard stops before the first job, and how results are kept that a change leaves as they are."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snakemake.exceptions import WorkflowError

from campfire.runs import fingerprint as reach
from campfire.runs import mark_current
from campfire.runs.guard import guard
from campfire.runs.plan import Plan
from support.plans import PLATES, TRANSFER, Run, checkout, inside, transfer_sheet

pytestmark = pytest.mark.workflow

EVERYTHING = PLATES + TRANSFER


def stopped(run: Run, **changes: object) -> str:
    """What the guard says of the plan, "" when it lets it pass."""
    run.configure(**changes)
    workflow = run.workflow()
    with inside(run.folder):
        try:
            guard(workflow, workflow.globals["run"])
        except WorkflowError as error:
            return str(error)
    return ""


def test_finished_expensive_work_is_not_redone_unasked(run: Run) -> None:
    for plate in EVERYTHING:
        benchmark = run.folder / f"results/benchmarks/images/{plate}.tsv"
        benchmark.parent.mkdir(parents=True, exist_ok=True)
        benchmark.write_text("s\tcpu_time\n3600\t1800\n")
        (run.folder / f"results/download/{plate}.plan.json").write_text('{"bytes": 2000000000}')
    message = stopped(run, tiles={"dtype": "uint8"})
    for words in ("14.0 GB", "3.5 h", "cut_tiles: changed tiles", "--config redo=images,pretrain", "pretrain_run"):
        assert words in message, message
    assert "embed" not in message and "analysis" not in message
    assert "pretrain_run" in stopped(run, redo=["images"])
    assert stopped(run, redo="images,pretrain") == ""


def test_the_guard_lets_inexpensive_and_first_work_pass(run: Run, repository: Path, tmp_path: Path) -> None:
    assert stopped(run, probe={"epochs": 3}) == ""
    assert stopped(run, transfer={"sheet": None}, sample={"seed": 3}) == ""
    new = tmp_path / "new"
    new.mkdir()
    assert stopped(checkout(repository, new)) == ""


def test_a_disk_that_is_too_small_is_said_before_the_first_byte(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    run = checkout(repository, new)
    monkeypatch.setattr("campfire.runs.forecast.free_bytes", lambda folder: 1e9)
    said = stopped(run)
    assert "results: tiles and images need up to" in said and "the disk has 1.0 GB free" in said, said
    monkeypatch.setattr("campfire.runs.forecast.free_bytes", lambda folder: 1e12)
    assert stopped(run) == ""


def test_a_download_that_was_killed_is_not_done_again(run: Run) -> None:
    """Snakemake's mark says that the job had begun; its finished part does not count as done."""
    workflow = run.workflow(force=["results/download/T1.parquet"])
    with inside(run.folder):
        job = next(job for job in workflow.dag.jobs if job.rule.name == "images" and job.wildcards.plate == "T1")
        planned_jobs = Plan(workflow, workflow.globals["run"].files)
        assert planned_jobs.is_done(job)
        workflow.persistence.started(job)
        assert not planned_jobs.is_done(job)


def test_the_split_is_made_first(run: Run) -> None:
    assert "Make it first (target `split`)" in stopped(run, split={"seed": 11})


def test_snakemake_itself_stops_before_its_first_job(run: Run) -> None:
    """As users call it; a dry run is free, and `make plan` shows what would need leave."""
    run.configure(tiles={"dtype": "uint8"})
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nocolor", "--rerun-triggers", "mtime", "params"]
    command += ["input", "--configfile", "config/config.yaml", "run.yaml"]
    done = subprocess.run([*command, "--", "all"], cwd=run.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "This plan would redo finished, expensive work" in done.stderr
    assert "Traceback" not in done.stderr and not (run.folder / "results/images").exists()
    assert (run.folder / "results/tiles/Q1.npy").is_file(), "nothing was deleted"
    command += ["-n", "--quiet", "rules", "progress", "--config", "show_plan=True", "--", "all"]
    done = subprocess.run(command, cwd=run.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "must be confirmed: `--config redo=images,pretrain`" in done.stdout


def marked(run: Run, *arguments: str) -> int:
    """`campfire mark-current` with the run's config."""
    reach.forget()
    configs = [str(run.folder / "config/config.yaml"), str(run.folder / "run.yaml")]
    place = ["--directory", str(run.folder), "--snakefile", str(run.folder / "Snakefile")]
    return mark_current.main([*arguments, "--configfile", *configs, *place])


def test_results_that_a_change_leaves_as_they_are_can_be_marked(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that the guard names: what it marks is printed first, and later changes count again."""
    run.edit("src/campfire/images/gallery/verify.py", "def check_image(", "def check_image(more=0, *, ")
    command = re.search(r"campfire mark-current (images pretrain) --configfile \S+ \S+", stopped(run))
    assert command, "the guard names the command"
    stages = command[1].split()
    assert marked(run, *stages, "--dry-run") == 0
    assert "images: M1, M2, Q1" in capsys.readouterr().out
    assert "images" in run.plan()
    assert marked(run, *stages) == 0
    assert "Marked 8 jobs as current" in capsys.readouterr().out
    assert not {"images", "pretrain_run"} & set(run.plan())
    assert marked(run, "all") == 0
    assert run.plan() == {}
    assert marked(run, "all") == 0
    assert "Nothing to mark" in capsys.readouterr().out.splitlines()[-1]
    run.configure(s3={"prefix": "another"})
    assert "images" in run.plan()


def test_an_unknown_stage_or_config_is_one_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert mark_current.main(["images", "--configfile", "nowhere.yaml"]) == 1
    assert capsys.readouterr().err == "error: nowhere.yaml: no such config file\n"
    with pytest.raises(SystemExit):
        mark_current.main(["tile"])


@pytest.mark.parametrize("kept", [(), (".snakemake",)], ids=["the whole project", "results from a backup"])
def test_a_copy_of_a_finished_project_is_not_computed_again(finished: Run, run: Run, kept: tuple[str, ...]) -> None:
    """`cp -r` gives every file a new time in the order of copying; a changed sheet still counts."""
    files = [
        path for path in run.folder.rglob("*") if path.is_file() and path.relative_to(run.folder).parts[0] not in kept
    ]
    now = time.time() - 1000
    for number, path in enumerate(sorted(files, reverse=True)):
        os.utime(path, (now + number / 100, now + number / 100))
    assert run.plan() == {}
    (run.folder / "transfer.tsv").write_text(transfer_sheet(["M1", "M2"]).replace("KO2", "KO3"))
    assert "transfer_head" in run.plan() and "images" not in run.plan()
