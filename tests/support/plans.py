"""A finished run that was never computed, and the plan that Snakemake makes for it: what would run again, and why."""

import asyncio
import gzip
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    ResourceSettings,
    StorageSettings,
)

from campfire.core.yaml import merge, read_yaml
from campfire.runs import fingerprint as reach

PLATES = ["Q1", "Q2", "Q3", "T1", "T2"]
"""Two evaluation plates in distribution, one out of it, two training plates."""
TRANSFER = ["M1", "M2"]
CHANGES: dict[str, Any] = {
    "large_run": True,
    "pretrain": {"runs": {"campfire": {"imagenet": ""}}},
    "sheet": "plates.tsv",
    "metadata": {name: {"address": f"{name}.csv.gz", "sha256": None} for name in ("plate", "well", "compound")},
    "split": {"held_out": 1, "wells_train": 1, "wells_val": 0, "wells_test": 1, "controls": ["DMSO", "C1"]},
    "evaluate": [
        {"encoder": "campfire", "channel_sets": ["DNA", "DNA_AGP_Mito", "DNA_ER_RNA"]},
        {"encoder": "untrained", "channel_sets": ["DNA_AGP_Mito"]},
    ],
    "encoders": {"dino_vits8": {"kind": "timm", "model": "vit_small_patch8_224.dino", "weights": "random"}},
    "transfer": {"sheet": "transfer.tsv", "encoders": ["campfire"]},
    "tables": {"encoders": ["campfire", "untrained"]},
}
SHEET = """Metadata_Source\tMetadata_Batch\tMetadata_Plate\tMetadata_PlateType\trole
s\tB1\tQ1\tTARGET2\tid
s\tB1\tQ2\tTARGET2\tid
s\tB2\tQ3\tTARGET2\tood
s\tB1\tT1\tCOMPOUND\ttrain
s\tB1\tT2\tCOMPOUND\ttrain
"""
COPIED = ["Snakefile", "workflow", "config", "src", "envs", "Makefile"]
LONG_AGO = 1_600_000_000

Plan = dict[str, set[str]]
"""Rule -> the wildcard values of its jobs, joined by /."""


@dataclass
class Run:
    """A checkout with a finished run in it."""

    folder: Path

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def rewrite_config(self, change: Callable[[str], str]) -> None:
        path = self.folder / "config/config.yaml"
        before = path.read_text()
        path.write_text(change(before))
        assert path.read_text() != before

    def configure(self, **changes: Any) -> None:
        """Lay changes over the run's config."""
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump(merge(read_yaml(path), changes), sort_keys=False))

    def workflow(
        self,
        targets: Iterable[str] = ("all",),
        force: Iterable[str] = (),
        resources: Mapping[str, Mapping[str, int | str]] | None = None,
    ) -> Any:
        """Snakemake's workflow with its jobs planned, nothing run. `resources` of rules as a profile sets them."""
        reach.forget()
        before, module_path, environment = Path.cwd(), [*sys.path], dict(os.environ)
        output = OutputSettings(quiet={Quietness.ALL}, verbose=False)
        try:
            with SnakemakeApi(output) as api:
                files = [self.folder / "config/config.yaml", self.folder / "run.yaml"]
                planned = api.workflow(
                    resource_settings=ResourceSettings(cores=2, overwrite_resources=resources or {}),
                    config_settings=ConfigSettings(configfiles=files),
                    storage_settings=StorageSettings(),
                    snakefile=self.folder / "Snakefile",
                    workdir=self.folder,
                )
                triggers = {"mtime", "params", "input"}  # as in profiles/*/config.yaml
                settings = DAGSettings(
                    targets=frozenset(targets),
                    forcerun=frozenset(force),
                    rerun_triggers=frozenset(RerunTrigger.parse_choice(trigger) for trigger in triggers),
                )
                dag = planned.dag(settings)
                dag.execute_workflow(executor="dryrun")
                return planned._workflow
        finally:
            os.chdir(before)
            sys.path[:] = module_path  # the Snakefile of this checkout puts its own library first
            os.environ.clear()
            os.environ.update(environment)

    def plan(self, targets: Iterable[str] = ("all",), force: Iterable[str] = ()) -> Plan:
        """The jobs that would run, without those that only name a target."""
        found: Plan = {}
        for job in self.workflow(targets, force).dag.needrun_jobs(exclude_finished=False):
            if job.output:
                found.setdefault(rule_of(job), set()).add("/".join(job.wildcards_dict.values()))
        return found

    def complete(self, rule: str, changed: Iterable[str]) -> None:
        """Run a rule's planned jobs: these outputs change, new ones appear, the others stay byte for byte."""
        workflow = self.workflow()
        with inside(self.folder):
            for job in workflow.dag.needrun_jobs(exclude_finished=False):
                if rule_of(job) == rule:
                    for path in map(Path, job.output):
                        text = path.read_text() if path.is_file() else f"{path}\n"
                        path.write_text(text + ("changed\n" if str(path) in changed else ""))
                    record(workflow, job)


def rule_of(job: Any) -> str:
    """The rule of a job; those that only differ in what the report shows are one."""
    return str(job.rule.name).removesuffix("_in_report")


def checkout(repository: Path, folder: Path) -> Run:
    """The repository's files and the inputs of a small run."""
    for name in COPIED:
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)
    (folder / "plates.tsv").write_text(SHEET)
    (folder / "transfer.tsv").write_text(transfer_sheet(TRANSFER))
    for name in CHANGES["metadata"]:
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(wells_table() if name == "well" else b"", mtime=0))
    for path in folder.glob("*.*"):
        os.utime(path, (LONG_AGO - 1, LONG_AGO - 1))
    (folder / "run.yaml").write_text(yaml.safe_dump(CHANGES, sort_keys=False))
    return Run(folder)


def wells_table() -> bytes:
    """Two controls and a compound that can be held out, in one well each of every plate, one not in the sheet too."""
    rows = ["Metadata_Source,Metadata_Plate,Metadata_Well,Metadata_JCP2022"]
    rows += [
        f"s,{plate},A{number:02d},{name}"
        for plate in [*PLATES, "T3"]
        for number, name in enumerate(("DMSO", "C1", "H1"), 1)
    ]
    return "\n".join([*rows, ""]).encode()


def transfer_sheet(plates: Iterable[str]) -> str:
    """A transfer screen of these plates, of which the last is held out."""
    plates = list(plates)
    columns = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_Well"]
    rows = ["\t".join([*columns, "group", "control", "treatment", "role"])]
    wells = [
        ("M1", "neg", "none"),
        ("M1", "pos", "KO1"),
        ("M2", "neg", "none"),
        ("M2", "pos", "KO1"),
        ("M1", "", "KO2"),
    ]
    for plate in plates:
        role = "heldout" if plate == plates[-1] else "train"
        for number, (group, control, treatment) in enumerate(wells, start=1):
            rows.append("\t".join(["s", "B9", plate, f"A{number:02d}", group, control, treatment, role]))
    return "\n".join(rows) + "\n"


def finish(run: Run) -> None:
    """Put a file at every output and Snakemake's record beside it, as a run leaves them; no image folders."""
    workflow = run.workflow()
    with inside(run.folder):
        for level, jobs in enumerate(workflow.dag.toposorted()):
            for job in jobs:
                temporary = {str(path) for path in job.temp_output}
                for path in map(Path, job.output):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if str(path) in temporary:
                        path.mkdir(exist_ok=True)
                    else:
                        path.write_text(f"{path}\n")
                    os.utime(path, (LONG_AGO + level, LONG_AGO + level))
        for job in workflow.dag.jobs:
            if job.output:
                record(workflow, job)
        shutil.rmtree(run.folder / "results/images")


def record(workflow: Any, job: Any) -> None:
    """Have Snakemake note that a job has run, with what the files are now."""
    workflow.iocache.deactivate()
    workflow.persistence.started(job)
    asyncio.run(workflow.persistence.finished(job))


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def planned(*parts: str | Mapping[str, Iterable[str]]) -> Plan:
    """Rules named in texts run for all they have; those in mappings for what is listed."""
    plan: Plan = {}
    for part in parts:
        named = {rule: ["*"] for rule in part.split()} if isinstance(part, str) else part
        for rule, jobs in named.items():
            plan.setdefault(rule, set()).update(jobs)
    return plan


def plates(*names: str) -> dict[str, list[str]]:
    """The chain from download to tiles for these plates: raw images are not kept, so it runs as one."""
    return {rule: list(names) for rule in ("images", "nuclei_gpu", "contact_sheet", "cut_tiles")}


def probed(*names: str) -> dict[str, list[str]]:
    """What is fitted on embeddings: probes of all, leakage and profiles of the training channels."""
    leading = [name for name in names if name.endswith("/DNA_AGP_Mito")]
    return {"probe": list(names)} | ({"leakage_effects": leading, "profile": leading} if leading else {})


def pairs(*names: str) -> dict[str, list[str]]:
    return {"embed": list(names), **probed(*names)}


def tables(names: str) -> dict[str, list[str]]:
    """These tables."""
    return {"table": names.split()}


def figures(names: str) -> dict[str, list[str]]:
    """These figures."""
    return {"figure": names.split()}
