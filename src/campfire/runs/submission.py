"""Ask Slurm before the first job whether it would take the jobs of a plan, and pass on its own words if not.

Snakemake submits in threads of its own: a wrong partition fails one job after the other, that of a group without
sbatch's message, and an unknown account stops a thread without a word.
"""

import getpass
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from snakemake.exceptions import WorkflowError

from campfire.core.text import some

OPTIONS = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "clusters": "--clusters",
    "constraint": "--constraint",
    "qos": "--qos",
    "gres": "--gres",
    "nodes": "--nodes",
    "mem_mb": "--mem",
    "runtime": "--time",
}
"""Resource of a rule -> option of sbatch, as Snakemake's plugin for Slurm passes them on."""
PASSING = ("down, drained or reserved", "unable to contact", "timed out", "invalid job credential")
"""What sbatch says of a cluster's present state: such jobs wait, or are submitted again."""
NO_SUCH_NODE = "Requested node configuration is not available"
"""Said of what no node has, and of what only nodes have that are down or drained just now."""
UP = ("idle", "mixed", "allocated", "completing", "planned", "reserved")
SECONDS = 60.0


def check_submission(workflow: Any) -> None:
    """Raise a WorkflowError with sbatch's words where Slurm would refuse jobs of a plan. For `onstart`.

    workflow: Snakemake's, with its jobs planned. Plans for other executors, and dry runs, are not asked about.
    """
    plugin = getattr(workflow, "executor_plugin", None)
    if plugin is None or plugin.name != "slurm" or workflow.touch or shutil.which("sbatch") is None:
        return
    jobs: dict[tuple[str, ...], set[str]] = {}
    for job in workflow.dag.needrun_jobs():
        if job.output and not job.is_local:
            grouped = workflow.get_rule(job.rule.name).group is not None
            jobs.setdefault(request(job.resources, job.threads, grouped), set()).add(job.rule.name)
    if refused := refusals(jobs):
        raise WorkflowError(
            "Slurm refuses jobs of this plan. Correct the profile (its five numbered lines, docs/cluster.md):\n"
            + "\n".join(refused)
        )


def lift_job_rate(workflow: Any) -> None:
    """Lift Snakemake's limit of 100 jobs per second for jobs of this machine, which cannot reach it. For `onstart`.

    Under the limit each choice of jobs sets a timer for another one a second later, while jobs wait for a core. Every
    finished job adds such a chain: with 21 small jobs a third of Snakemake's processor time (docs/performance.md).
    workflow: Snakemake's, with its scheduler. The limit stays for other executors, which submit jobs to a queue.
    """
    plugin, scheduler = (getattr(workflow, name, None) for name in ("executor_plugin", "scheduler"))
    if scheduler is not None and plugin is not None and plugin.name == "local":
        scheduler.job_rate_limiter = None


def request(resources: Mapping[str, Any], threads: int, grouped: bool = False) -> tuple[str, ...]:
    """Options of sbatch for a job. grouped: its memory and time are those of its group, so they are left out."""
    own = {key: resources.get(key) for key in OPTIONS}
    if grouped:
        own |= {"mem_mb": None, "runtime": None}
    words = [f"{OPTIONS[key]}={value}" for key, value in own.items() if value not in (None, "")]
    if gpus := resources.get("gpu"):
        model = resources.get("gpu_model")
        words.append(f"--gpus={model}:{gpus}" if model else f"--gpus={gpus}")
    if resources.get("mpi"):
        words.append(f"--ntasks={resources.get('tasks', 1)}")
    if not grouped:
        words.append(f"--cpus-per-task={threads}")
    return (*words, *shlex.split(str(resources.get("slurm_extra") or "")))


def refusals(jobs: Mapping[tuple[str, ...], Iterable[str]]) -> list[str]:
    """A line for each request that Slurm refuses: its rules, sbatch's words, and the request itself."""
    lines = []
    for words, rules in sorted(jobs.items()):
        said = ask(words) or unknown_account(words)
        if said:
            lines.append(f"  {some(sorted(rules))}: {said} (sbatch {shlex.join(words)})")
    return lines


def ask(words: Sequence[str]) -> str:
    """What sbatch says against a job with these options; "" where it would take it. Nothing is submitted."""
    command = ["sbatch", "--test-only", *words, "--wrap=true"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return ""
    said = [line.removeprefix("sbatch: error: ").strip() for line in done.stderr.splitlines() if line.strip()]
    text = "; ".join(line.removeprefix("allocation failure: ") for line in said)
    passing = any(said in text.lower() for said in PASSING) or (NO_SUCH_NODE in text and nodes_are_missing(words))
    return text if done.returncode and not passing else ""


def nodes_are_missing(words: Sequence[str]) -> bool:
    """Whether nodes of a request's partition are down or drained, which `--test-only` does not wait for."""
    partition = [word for word in words if word.startswith("--partition=")]
    command = ["sinfo", "--noheader", "--Node", "--format=%T", *partition]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    states = {state.strip("*~#!%$@+-^") for state in done.stdout.split()}
    return bool(done.returncode or states - set(UP))


def unknown_account(words: Iterable[str]) -> str:
    """A message where the accounting database knows this user, but not with the account of a request; else ""."""
    account = next((word.partition("=")[2] for word in words if word.startswith("--account=")), "")
    if not account or shutil.which("sacctmgr") is None:
        return ""
    command = ["sacctmgr", "--noheader", "--associations", "list", "user", getpass.getuser(), "format=account%256"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    known = sorted({line.strip() for line in done.stdout.splitlines() if line.strip()})
    if done.returncode or not known or account.lower() in map(str.lower, known):
        return ""
    return f"sacctmgr lists no account {account} for {getpass.getuser()}, only {some(known)}"
