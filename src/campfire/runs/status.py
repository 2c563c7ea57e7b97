"""Print how far a run is: campfire status [results/demo].

Per rule: jobs done, running, queued and failed, bytes, tiles per second, GPU time and the time left; then running
pretraining, the disk, the estimated end and the last errors. It reads files only and takes no lock, so it works
while the run goes on. Rates are those of finished jobs, so the estimate covers only rules that have some.
"""

import argparse
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from campfire.core.errors import in_one_line
from campfire.core.text import duration, size, some, work_hours
from campfire.runs.run_state import STATES, TRAININGS, JobState, Progress, RuleProgress, Training, read_progress

HEADS = ["stage", "rule", *STATES, "bytes", "tiles/s", "GPU time", "left"]
QUIET = 900.0
"""Seconds without a line in a running job's log after which the job is named."""
ERRORS, SHOWN_TRAININGS = 5, 8


def render(progress: Progress, now: float) -> str:
    """The whole status as text. now: seconds since the epoch."""
    parts = [
        headline(progress, now),
        table(progress, now),
        training_lines(progress, now),
        "\n".join(filter(None, [disk_line(progress), end_line(progress, now)])),
        errors(progress.jobs("failed")),
        quiet_jobs(progress.jobs("running"), now),
    ]
    return "\n\n".join(filter(None, parts))


def headline(progress: Progress, now: float) -> str:
    """Which run it is and whether it is at work."""
    record = progress.record
    began = f"{progress.results}: run of {_clock(record['began'], now)} on {record['host']}"
    if "ended" in record:
        how = "succeeded" if record["succeeded"] else "failed"
        return f"{began}, {how} after {duration(record['ended'] - record['began'])}"
    if progress.at_work is None:
        return f"{began}, process {record['process']} there; look there whether it is at work"
    if progress.at_work:
        return f"{began}, at work for {duration(now - record['began'])} (process {record['process']})"
    return f"{began}, was killed; give the same command again: finished work is kept"


def table(progress: Progress, now: float) -> str:
    """One line per rule of the expensive stages, one for all other rules, and a total."""
    rows = [_row(rule.stage, rule.rule, [rule], progress, now) for rule in progress.rules if rule.stage != "analysis"]
    if others := [rule for rule in progress.rules if rule.stage == "analysis"]:
        rows.append(_row("analysis", "all others", others, progress, now))
    counts = [sum(rule.count(state) for rule in progress.rules) for state in STATES]
    gpu, made = sum(rule.gpu_seconds(now) for rule in progress.rules), sum(rule.bytes for rule in progress.rules)
    rows.append(["total", "", *map(str, counts), size(made) if made else "-", "", _hours(gpu), ""])
    lines = [HEADS, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: list[str], widths: list[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
    return "  ".join([*names, *numbers]).rstrip()


def _row(stage: str, name: str, rules: list[RuleProgress], progress: Progress, now: float) -> list[str]:
    made = sum(rule.bytes for rule in rules)
    rates = [rule.tiles_per_second for rule in rules if rule.tiles_per_second]
    if rules[0].rule in TRAININGS:
        own = {job.entry["name"] for job in rules[0].jobs}
        rates = [float(training.step["tiles_per_s"]) for name, training in progress.trainings.items() if name in own]
    left = [rule.seconds_left(now, progress.trainings) for rule in rules]
    known = [seconds for seconds in left if seconds is not None]
    least = "" if len(known) == len(left) else ">"
    rest = "?" if not known or (least and not any(known)) else f"{least}{duration(sum(known))}" if sum(known) else "-"
    return [
        stage,
        name,
        *(str(sum(rule.count(state) for rule in rules)) for state in STATES),
        size(made) if made else "-",
        f"{sum(rates):,.0f}" if rates else "-",
        _hours(sum(rule.gpu_seconds(now) for rule in rules)),
        rest,
    ]


def training_lines(progress: Progress, now: float) -> str:
    """A line for each of the first pretraining runs and trials at work, and how many more there are."""
    lines = [training_line(training, now) for training in progress.trainings.values()]
    more = len(lines) - SHOWN_TRAININGS
    return "\n".join([*lines[:SHOWN_TRAININGS], *([f"and {more} more trainings at work"] if more > 0 else [])])


def training_line(training: Training, now: float) -> str:
    """Where a pretraining run is, how fast, and which share of the time its GPUs compute."""
    step = training.step
    text = (
        f"pretraining {training.name}: epoch {step['epoch']}/{step['epochs']}, "
        f"step {step['step']:,}/{step['steps']:,}, loss {step['loss']:.4f}, {step['tiles_per_s']:,.0f} tiles/s, "
        f"computing {100 * (1 - step['waited_share']):.0f} % of the time (the rest waits for tiles)"
    )
    if step.get("mfu"):
        text += f", MFU {100 * step['mfu']:.0f} %"
    return f"{text}; {duration(now - training.time)} ago"


def disk_line(progress: Progress) -> str:
    """Free space, and what outstanding jobs will take by the files of finished ones."""
    free = shutil.disk_usage(progress.results).free
    text = f"disk: {size(free)} free at {progress.results}"
    lasting = [rule for rule in progress.rules if rule.rule != "images" and rule.finished]
    needed = sum(rule.bytes / len(rule.finished) * (rule.count("running") + rule.count("queued")) for rule in lasting)
    if needed:
        # What checkpoints and embeddings take is not known before the first of them is finished.
        unknown = any(not rule.finished and rule.count("running") + rule.count("queued") for rule in progress.rules)
        text += f"; outstanding jobs will write {'at least' if unknown else 'about'} {size(needed)}, raw images apart"
    return text + (", WHICH IS MORE THAN IS FREE" if needed > free else "")


def end_line(progress: Progress, now: float) -> str:
    """When the run ends: stage after stage, the rules of a stage side by side."""
    if progress.at_work is False or not (progress.jobs("running") or progress.jobs("queued")):
        return ""
    left: dict[str, list[float | None]] = {}
    for rule in progress.rules:
        # Plates pass images and tiles one after the other, so the slowest rule decides.
        stage = "tiles" if rule.stage == "images" else rule.stage
        left.setdefault(stage, []).append(rule.seconds_left(now, progress.trainings))
    unknown = _names([rule for rule in progress.rules if rule.seconds_left(now, progress.trainings) is None])
    known = {stage: [value for value in values if value is not None] for stage, values in left.items()}
    total = sum(sum(v) if stage == "analysis" else max(v, default=0.0) for stage, v in known.items())
    text = f"{duration(total)} left, until {_clock(now + total, now)}"
    if unknown and not total:
        return f"estimated end: unknown, because no job of {unknown} has finished yet"
    if unknown:
        return f"estimated end: at least {text}; no job of {unknown} has finished yet"
    return f"estimated end: {text}"


def _names(rules: list[RuleProgress]) -> str:
    """Rules by name, as many in the analysis as their number."""
    names = [rule.rule for rule in rules if rule.stage != "analysis"]
    analysis = [rule.rule for rule in rules if rule.stage == "analysis"]
    if len(analysis) > 1:
        analysis = [f"{len(analysis)} rules of the analysis"]
    return " and ".join([*([", ".join(names)] if names else []), *analysis])


def errors(failed: Iterable[JobState]) -> str:
    """The newest failed jobs with their errors and logs."""
    newest = sorted(failed, key=lambda job: float(job.record.get("stopped", 0.0)) or _last_sign(job), reverse=True)
    if not newest:
        return ""
    lines = [f"last errors ({len(newest)} failed jobs; a run at work may try them again):"]
    lines += [f"  {_name(job)}: {job.error}\n    {job.entry['log']}" for job in newest[:ERRORS]]
    return "\n".join(lines)


def quiet_jobs(running: Iterable[JobState], now: float) -> str:
    """Running jobs that have not logged anything for a while: they may be dead, which files do not tell."""
    quiet = [f"{_name(job)} ({duration(now - job.last_sign)})" for job in running if now - job.last_sign > QUIET]
    return f"nothing new in the logs of {some(quiet)}" if quiet else ""


def _last_sign(job: JobState) -> float:
    return job.last_sign if "began" in job.record else 0.0


def _name(job: JobState) -> str:
    return f"{job.entry['rule']} {job.entry['name']}".rstrip()


def _hours(gpu_seconds: float) -> str:
    return work_hours(gpu_seconds / 3600) if gpu_seconds else "-"


def _clock(when: float, now: float) -> str:
    """A time of today as 14:05, another with its date."""
    same_day = time.strftime("%F", time.localtime(when)) == time.strftime("%F", time.localtime(now))
    return time.strftime("%H:%M" if same_day else "%F %H:%M", time.localtime(when))


def as_json(progress: Progress, now: float) -> dict[str, Any]:
    """The same for programs: plain values, times in seconds."""
    rules: list[Mapping[str, Any]] = [
        {
            "stage": rule.stage,
            "rule": rule.rule,
            **{state: rule.count(state) for state in STATES},
            "bytes": rule.bytes,
            "tiles_per_s": rule.tiles_per_second,
            "gpu_seconds": rule.gpu_seconds(now),
            "seconds_left": rule.seconds_left(now, progress.trainings),
        }
        for rule in progress.rules
    ]
    failed = [{"rule": j.entry["rule"], "name": j.entry["name"], "error": j.error} for j in progress.jobs("failed")]
    steps = {name: dict(training.step) for name, training in progress.trainings.items()}
    return {"at_work": progress.at_work, "rules": rules, "failed": failed, "pretraining": steps}


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="campfire status", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"), help="folder of results (results)")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    options = parser.parse_args(arguments)
    progress, now = read_progress(options.results), time.time()
    if options.json:
        import json

        print(json.dumps(as_json(progress, now), indent=2))
    else:
        print(render(progress, now))
    return 0
