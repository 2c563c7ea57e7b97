"""The smoke run on a real one-node Slurm with the shipped profile: `make test-slurm`."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from safetensors import safe_open

from campfire.simulate.__main__ import read_options
from campfire.simulate.screen import write_screen
from support.one_node_slurm import jobs, one_node_slurm, site_profile, snakemake, workplace

pytestmark = pytest.mark.slurm

RANKS = 2
MODEL = "results/smoke/pretrain/campfire/model.safetensors"


@pytest.fixture(scope="module")
def cluster(repository: Path) -> Iterator[None]:
    with one_node_slurm(repository):
        yield


@pytest.fixture(scope="module")
def finished(
    cluster: None, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, str]], str]:
    """The folder of a finished run of `all`, its Slurm jobs, and what the run said."""
    folder = tmp_path_factory.mktemp("slurm")
    screen = folder / "screen"
    write_screen(screen, read_options(repository / "config/smoke-screen.yaml"))
    place = workplace(repository, folder / "run", screen)
    profile = site_profile(repository, folder / "profile", gpus=RANKS)
    run = snakemake("--snakefile", repository / "Snakefile", "--directory", place, "--profile", profile)
    # Half of the run waits for its model, so the plate that the model is trained on goes first.
    run += ["--jobs", "8", "--prioritize", MODEL]
    run += ["--configfile", "config/config.yaml", "config/smoke.yaml", "from_s3.yaml", "--", "all"]
    served = [sys.executable, "-m", "campfire.simulate.server", str(screen / "s3"), "--", *run]
    done = subprocess.run(served, cwd=place, capture_output=True, text=True, timeout=1500)
    output = done.stdout + done.stderr
    (folder / "output.txt").write_text(output)
    assert done.returncode == 0, output[-5000:]
    uuid = re.search(r"SLURM run ID: (\S+)", output)
    assert uuid
    return place, [job for job in jobs() if job["JobName"] == uuid[1]], output


def rule(job: dict[str, str]) -> str:
    """Rule of a job, or the name of its group."""
    name = job["Comment"].removeprefix("rule_").split("_wildcards_")[0].removesuffix("_in_report")
    return next((group for group in ("prepare", "results") if name.startswith(f"{group}_")), name)


def test_every_job_was_a_slurm_job(finished: tuple[Path, list[dict[str, str]], str]) -> None:
    _, submitted, output = finished
    assert set(re.findall(r"^localrule (\w+):", output, re.MULTILINE)) == {"all"}
    assert {job["JobState"] for job in submitted} == {"COMPLETED"}
    counts = Counter(map(rule, submitted))
    plates = counts["images"]
    assert plates >= 9
    assert counts["nuclei"] == counts["contact_sheet"] == counts["cut_tiles"] == plates
    assert {"prepare", "sample", "pretrain_run", "embed", "embed_transfer", "probe", "transfer_head"} <= set(counts)
    assert counts["results"] == 1, "what follows the probes is one job"


def test_gpu_rules_have_gpus_and_no_other(finished: tuple[Path, list[dict[str, str]], str]) -> None:
    _, submitted, _ = finished
    for job in submitted:
        gpus = re.search(r"gpu[:=](\d+)", job.get("TresPerJob", "") + job.get("TresPerNode", ""))
        wanted = {"pretrain_run": RANKS, "embed": 1, "embed_transfer": 1}.get(rule(job), 0)
        assert int(gpus[1] if gpus else 0) == wanted, job
        assert job["Partition"] == ("gpu" if wanted else "cpu"), job
        assert job["Account"] == "lab"


def test_pretraining_was_two_ranks(finished: tuple[Path, list[dict[str, str]], str]) -> None:
    place, _, _ = finished
    with safe_open(place / MODEL, framework="np") as weights:
        header = json.loads(weights.metadata()["campfire"])
    assert header["processes"] == RANKS


def test_all_results_are_there(finished: tuple[Path, list[dict[str, str]], str], repository: Path) -> None:
    place, _, _ = finished
    run = snakemake(
        "--snakefile", repository / "Snakefile", "--directory", place, "--profile", repository / "profiles/local"
    )
    run += ["--configfile", "config/config.yaml", "config/smoke.yaml", "from_s3.yaml", "-n", "--", "all"]
    again = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=120)
    assert "Nothing to be done" in again.stdout + again.stderr, (again.stdout + again.stderr)[-3000:]
    assert not list((place / "results/smoke/images").glob("*"))
    assert not list(place.rglob("*.partial*"))
    assert list((place / "logs/slurm").rglob("*.log"))


def test_a_download_overlaps_the_segmentation_of_another_plate(
    finished: tuple[Path, list[dict[str, str]], str],
) -> None:
    def times(name: str) -> list[tuple[datetime, datetime]]:
        found = [job for job in finished[1] if rule(job) == name]
        return [(datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])) for job in found]

    downloads, segmentations = times("images"), times("nuclei")
    assert any(start < ended and began < end for start, end in downloads for began, ended in segmentations)
