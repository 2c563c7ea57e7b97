"""What a run made and which page to open, printed at its end."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from snakemake.logging import logger

from campfire.runs.run import Run

KINDS = {
    "images": ("plate of images", "plates of images"),
    "cut_tiles": ("plate of tiles", "plates of tiles"),
    "pretrain_run": ("pretrained model", "pretrained models"),
    "ablation_run": ("model of the ablation", "models of the ablation"),
    "embed": ("table of embeddings", "tables of embeddings"),
    "embed_table": ("table of embeddings", "tables of embeddings"),
    "embed_transfer": ("table of embeddings", "tables of embeddings"),
    "embed_table_transfer": ("table of embeddings", "tables of embeddings"),
    "probe": ("probe", "probes"),
    "table": ("table", "tables"),
    "figure": ("figure", "figures"),
}
"""Rules whose results are counted, in the singular and the plural."""
MOST_FILES = 4
"""Files of the command that are named; a target such as `tables` has more."""


def show_made(workflow: Any, run: Run) -> None:
    """Print what Snakemake's `workflow` made. For `onsuccess`; a job's own Snakemake, and a touch, print nothing."""
    if not workflow.is_main_process or workflow.touch:
        return
    rules = Counter(job.rule.name for job in workflow.dag.finished_jobs)
    page = [run.files.page] if rules["write_page"] else []
    if text := describe(rules, page or asked_for(workflow.dag)):
        logger.info(text, extra={"campfire": True})


def asked_for(dag: Any) -> list[str]:
    """The files that the command asked for, by name or as the results of a rule (`check_source`, `bundle`)."""
    files = {str(file) for file in dag.targetfiles}
    for job in dag.targetjobs:
        files |= {str(file) for file in job.output or job.input}
    return sorted(files)


def describe(rules: Counter[str], files: Sequence[str]) -> str:
    """What jobs of these rules made, in a sentence, and the files to look at if they are few; "" for no job."""
    counts: Counter[tuple[str, str]] = Counter()
    for rule, names in KINDS.items():
        counts[names] += rules[rule]
    made = [f"{count} {names[count > 1]}" for names, count in counts.items() if count]
    lines = [f"Made: {', '.join(made)}."] if made else []
    if sum(rules.values()) and len(files) <= MOST_FILES:
        lines += [f"Open in a browser: {path}" if path.endswith(".html") else f"See {path}" for path in files]
    return "\n".join(lines)
