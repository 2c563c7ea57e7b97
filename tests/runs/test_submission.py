"""What Slurm is asked before the first job, and what is made of its answers; a real one: test_slurm_faults.py."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from campfire.runs.submission import ask, lift_job_rate, refusals, request, unknown_account


def answers(monkeypatch: pytest.MonkeyPatch, folder: Path, **programs: str) -> None:
    """Put shell scripts of these names before all other programs."""
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_request_has_the_options_that_snakemakes_plugin_passes_on() -> None:
    resources = {
        "slurm_partition": "gpu", "slurm_account": "lab", "runtime": 2880, "mem_mb": 64000, "gpu": 8,
        "gpu_model": "h100", "slurm_extra": "--signal=TERM@300 --requeue", "tasks_per_gpu": 0,
    }  # fmt: skip
    assert request(resources, threads=64) == (
        "--partition=gpu", "--account=lab", "--mem=64000", "--time=2880", "--gpus=h100:8", "--cpus-per-task=64",
        "--signal=TERM@300", "--requeue",
    )  # fmt: skip
    assert request({"slurm_partition": "cpu", "mem_mb": 2000, "runtime": 30}, 4, grouped=True) == ("--partition=cpu",)


def test_a_refusal_has_sbatchs_words_and_the_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """case "$*" in *gpuu*) echo "sbatch: error: invalid partition specified: gpuu" >&2
    echo "allocation failure: Invalid partition name specified" >&2; exit 1;; esac"""
    answers(monkeypatch, tmp_path, sbatch=script)
    jobs = {("--partition=gpuu",): {"pretrain_run", "embed"}, ("--partition=cpu",): {"nuclei"}}
    assert refusals(jobs) == [
        "  embed, pretrain_run: invalid partition specified: gpuu; Invalid partition name specified "
        "(sbatch --partition=gpuu)"
    ]


@pytest.mark.parametrize(
    ("said", "nodes", "refused"),
    [
        ("allocation failure: Requested node configuration is not available", "idle mixed", True),
        ("allocation failure: Requested node configuration is not available", "idle drained*", False),
        ("allocation failure: Required node not available (down, drained or reserved)", "idle", False),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", "idle", False),
    ],
)
def test_a_cluster_that_is_partly_down_refuses_nothing(
    said: str, nodes: str, refused: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such jobs wait in Slurm's queue."""
    answers(monkeypatch, tmp_path, sbatch=f"echo '{said}' >&2; exit 1", sinfo=f"printf '%s\\n' {nodes}")
    assert bool(ask(["--partition=gpu"])) is refused


def test_an_account_that_the_database_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers(monkeypatch, tmp_path, sacctmgr="printf '  lab  \\n physics \\n'")
    assert unknown_account(["--account=lab"]) == "" and unknown_account(["--partition=cpu"]) == ""
    assert "lists no account nobody" in unknown_account(["--account=nobody"])
    answers(monkeypatch, tmp_path, sacctmgr="exit 1")
    assert unknown_account(["--account=nobody"]) == ""


@pytest.mark.parametrize(("executor", "limit"), [("local", None), ("slurm", "100/1s")])
def test_only_jobs_of_this_machine_start_without_a_limit_per_second(executor: str, limit: str | None) -> None:
    scheduler = SimpleNamespace(job_rate_limiter="100/1s")
    lift_job_rate(SimpleNamespace(executor_plugin=SimpleNamespace(name=executor), scheduler=scheduler))
    assert scheduler.job_rate_limiter == limit
