"""The shipped Snakemake profiles name rules that exist, and the Slurm profile leaves out none."""

import re
from pathlib import Path

import pytest
import yaml

RULE = re.compile(r"^ *(?:use )?rule (?:\w+ as )?(\w+)(?: with)?:", re.MULTILINE)

OF_TABLES = {"embed_table", "embed_table_transfer"}
"""Rules of encoders that are tables of embeddings made elsewhere; neither the smoke run nor the paper's has one."""


def rules(repository: Path) -> tuple[set[str], set[str]]:
    """All rules of the workflow, and the local ones."""
    files = [repository / "workflow/Snakefile", *sorted((repository / "workflow/rules").glob("*.smk"))]
    texts = [path.read_text() for path in files]
    local = [name for text in texts for block in re.findall(r"^localrules:\n((?: +\w+,\n)+)", text, re.MULTILINE)
             for name in re.findall(r"\w+", block)]  # fmt: skip
    return {name for text in texts for name in RULE.findall(text)}, set(local)


def test_profiles_name_rules_that_exist(repository: Path) -> None:
    known, local = rules(repository)
    assert local <= known
    for name in ("local", "slurm"):
        profile = yaml.safe_load((repository / "profiles" / name / "config.yaml").read_text())
        named = {*profile.get("set-resources", {}), *profile.get("set-threads", {})}
        named |= {group.split("=")[0] for group in profile.get("groups", [])}
        assert named <= known, f"profiles/{name}: no rule {named - known}"


def test_the_slurm_profile_places_every_rule(repository: Path) -> None:
    known, local = rules(repository)
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    grouped = {group.split("=")[0] for group in profile["groups"]}
    placed = grouped | set(profile["set-resources"]) | local
    assert known - placed <= {"check_source", "ablation_ranking", "pack_bundle", *OF_TABLES}, (
        "say where these rules run, or group them"
    )
    assert not grouped & local


def test_only_gpu_rules_hold_gpus(repository: Path) -> None:
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    with_gpus = {rule for rule, wanted in profile["set-resources"].items() if wanted.get("gpu")}
    assert with_gpus == {"nuclei_gpu", "pretrain_run", "ablation_run", "embed", "embed_transfer"}
    for rule in with_gpus:
        wanted = profile["set-resources"][rule]
        assert wanted["slurm_partition"] == "gpu" and wanted["tasks_per_gpu"] == 0


def test_a_third_attempt_asks_for_no_more_than_a_node_has(repository: Path) -> None:
    """Memory grows with the attempts, as Snakemake computes it, up to what a node has."""
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    for rule, wanted in profile["set-resources"].items():
        asked = [eval(str(wanted["mem_mb"]), {"min": min, "attempt": attempt}) for attempt in (1, 2, 3)]
        assert 1000 <= asked[0] < asked[1] <= asked[2] <= 250_000, rule


@pytest.mark.workflow
@pytest.mark.parametrize(("method", "rule", "gpus"), [("cellpose", "nuclei_gpu", 1), ("classical", "nuclei", 0)])
def test_cellpose_gets_a_gpu_and_the_classical_method_none(
    repository: Path, tmp_path: Path, method: str, rule: str, gpus: int
) -> None:
    """The jobs of the paper's plates under the Slurm profile's resources, as Snakemake plans them."""
    from support.plans import checkout

    run = checkout(repository, tmp_path)
    run.configure(nuclei={"method": method})
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    asked = {
        name: {key: own[key] for key in ("gpu", "slurm_partition") if key in own}
        for name, own in profile["set-resources"].items()
    }
    jobs = [job for job in run.workflow(["tiles"], resources=asked).dag.jobs if job.rule.name.startswith("nuclei")]
    assert {job.rule.name for job in jobs} == {rule}
    assert {job.resources.get("gpu", 0) for job in jobs} == {gpus}
    assert {job.resources.get("slurm_partition") for job in jobs} == {"gpu" if gpus else None}


@pytest.mark.workflow
def test_the_smoke_run_runs_every_rule(repository: Path, tmp_path: Path) -> None:
    """All that its config defines; another one has `nuclei_gpu` or `transfer_means` in the place of its counterpart."""
    from support.plans import CHANGES, checkout

    targets = re.search(r"--configfile config/smoke.yaml -- (.+)", (repository / "Makefile").read_text())
    assert targets
    run = checkout(repository, tmp_path)
    smoke = yaml.safe_load((repository / "config/smoke.yaml").read_text())
    inputs = {name: CHANGES[name] for name in ("sheet", "metadata", "split")}
    transfer = smoke["transfer"] | {"sheet": CHANGES["transfer"]["sheet"]}
    run.configure(
        **smoke | inputs | {"transfer": transfer, "s3": {"folder": None}, "probe": smoke["probe"] | {"folds": 2}}
    )
    workflow = run.workflow(targets[1].split())
    planned = {job.rule.name for job in workflow.dag.jobs}
    assert {rule.name for rule in workflow.rules if rule.output} - OF_TABLES <= planned
    assert {"pretrain_run", "ablation_run", "check_source", "pack_bundle", "transfer_head"} <= planned
