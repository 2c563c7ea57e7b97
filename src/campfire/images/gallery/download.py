"""Downloading a plate: every object of the plan is verified; bad sites are recorded and omitted."""

import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core import text as wording
from campfire.core.columns import PLATE, SITE, SITE_KEYS, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import write_table, write_text
from campfire.images.gallery.client import read_once
from campfire.images.gallery.journal import Entry, Journal, remove_partials
from campfire.images.gallery.options import S3Options
from campfire.images.gallery.outage import Outage
from campfire.images.gallery.pace import Pace
from campfire.images.gallery.plan import PLAN_COLUMNS, planned_bytes
from campfire.images.gallery.same_picture import describe, positions_of_copies
from campfire.images.gallery.transfer import (
    CORRUPT,
    EXCLUDED,
    MISSING,
    OK,
    UNAVAILABLE,
    Outcome,
    Progress,
    Task,
    fetch_object,
    run_all,
)
from campfire.screen.leave_out import reasons
from campfire.screen.names import name_problem
from campfire.screen.wells import well_name

log = logging.getLogger(__name__)

RECORD_COLUMNS = [*SITE_KEYS, "channel", "key", "bytes", "md5", "status", "reason"]
PROBLEMS = "problems.tsv"


def image_file(well: str, site: str, channel: str) -> str:
    """Local name of an image, built from well, site and channel only."""
    if well_name(well) != well or not site.isdigit():
        raise DataError(f"well {well!r}, site {site!r}: cannot be part of a file name; correct load_data")
    return f"{well}_s{site}_{_plain(channel)}.tiff"


def function_file(channel: str) -> str:
    """Local name of a channel's illumination function."""
    return f"illum_{_plain(channel)}.npy"


def _plain(channel: str) -> str:
    if problem := name_problem("channel", channel):
        raise DataError(f"channel {channel!r} {problem}; rename it in load_data and in the config")
    return channel


def fetch_plate(
    client: Any,
    plan: pd.DataFrame,
    destination: str | Path,
    options: S3Options,
    known_bad: Mapping[str, str] | None = None,
    leave_out: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Fetch a plan into `destination` and return the record of `download/{plate}.parquet`, one row per planned object.

    A file appears under its final name only when it is verified (see `verify`). Sites with a missing, corrupt or
    known-bad object are omitted as a whole: their other channels have status `excluded`. `sites.parquet` lists
    the complete sites and is written last. An interrupted download in `destination` is resumed.
    `known_bad` maps keys (or folders ending in "/") to reasons, `leave_out` wells and sites (PLATE/WELL/SITE); neither
    is requested or counts as bad.

    Raises DataError when the disk is too small or full, when S3 stays unreachable, when an illumination function is
    bad, or when more than `options.max_bad_share` of the sites are (listed in `problems.tsv` in `destination`).
    """
    missing = [name for name in PLAN_COLUMNS if name not in plan]
    if missing or plan.empty or len(set(plan[PLATE])) != 1:
        raise ConfigError(f"not the plan of one plate: {len(plan)} rows, without columns {missing}")
    plan = plan.reset_index(drop=True)
    plate = str(plan[PLATE].iloc[0])
    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (folder / "sites.parquet", folder / PROBLEMS):
        stale.unlink(missing_ok=True)
    remove_partials(folder)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a damaged file's reason goes to the record

    status, reason = _before_fetching(plan, known_bad or {}, leave_out or {})
    tasks = _tasks(plan, status, plate)
    journal = Journal(folder)
    _check_disk(plan, tasks, journal, folder, options, plate)
    outcomes = _fetch(client, options, tasks, folder, journal, plan, plate)
    entries = {outcome.task.row: outcome.entry for outcome in outcomes if outcome.entry is not None}
    for outcome in outcomes:
        status[outcome.task.row], reason[outcome.task.row] = outcome.status, outcome.reason
    _odd_images(plan, entries, status, reason)
    _copies(plan, entries, status, reason)
    expected, bad = _whole_sites(plan, status, reason)
    record = plan[[*SITE_KEYS, "channel", "key"]].assign(
        bytes=[entries[row].bytes if row in entries else -1 for row in plan.index],
        md5=[entries[row].md5 if row in entries else "" for row in plan.index],
        status=status,
        reason=reason,
    )
    _judge_plate(record, expected, bad, folder, options, plate)
    _finish(record, plan, folder, journal)
    return record[RECORD_COLUMNS]


def _before_fetching(
    plan: pd.DataFrame, known_bad: Mapping[str, str], leave_out: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Status and reason of the rows that are not fetched: sites with a known-bad or impossible object."""
    folders = {name: reason for name, reason in known_bad.items() if name.endswith("/")}
    status, reason = [""] * len(plan), [""] * len(plan)
    by_hand = reasons(plan, leave_out)
    for row, (key, problem) in enumerate(zip(plan["key"], plan["problem"], strict=True)):
        if by_hand[row]:
            status[row], reason[row] = EXCLUDED, f"left out: {by_hand[row]}"
            continue
        listed = known_bad.get(key) or next((why for name, why in folders.items() if key.startswith(name)), None)
        if problem:
            status[row], reason[row] = MISSING, problem
        elif key and listed is not None:
            status[row], reason[row] = EXCLUDED, f"known bad: {listed}"
    lost = {(plan[WELL][row], plan[SITE][row]) for row in plan.index if status[row] and plan[SITE][row]}
    for row, site in enumerate(zip(plan[WELL], plan[SITE], strict=True)):
        if site in lost and not status[row]:
            status[row], reason[row] = EXCLUDED, "another channel of the site is bad"
    return status, reason


def _tasks(plan: pd.DataFrame, status: list[str], plate: str) -> list[Task]:
    tasks: dict[str, Task] = {}
    for row, item in enumerate(plan.to_dict("records")):
        if status[row]:
            continue
        well, site, channel = item[WELL], item[SITE], item["channel"]
        file = image_file(well, site, channel) if site else function_file(channel)
        if file in tasks:
            raise DataError(f"plate {plate}: the plan has well {well} site {site} {channel} twice; remake it")
        label = (
            f"plate {plate}, well {well}, site {site}, {channel}" if site else f"plate {plate}, illumination {channel}"
        )
        tasks[file] = Task(row, label, file, item["key"], int(item["bytes"]), item["md5"], item["version"], not site)
    return list(tasks.values())


def _check_disk(
    plan: pd.DataFrame, tasks: list[Task], journal: Journal, folder: Path, options: S3Options, plate: str
) -> None:
    needed = planned_bytes(plan.loc[[task.row for task in tasks]])
    here = journal.size_on_disk({task.file for task in tasks})
    free = shutil.disk_usage(folder).free
    if needed - here + options.disk_reserve_gb * 1e9 > free:
        coming, room = wording.size(needed - here), wording.size(free)
        raise DataError(
            f"plate {plate}: {coming} are still to come and {options.disk_reserve_gb:g} GB must stay free, but "
            f"{folder} has {room}; make room, put results elsewhere, or have fewer plates at a time"
        )
    if here:
        log.info("plate %s: %s of %s are here from an earlier attempt", plate, wording.size(here), wording.size(needed))


def _fetch(
    client: Any,
    options: S3Options,
    tasks: list[Task],
    folder: Path,
    journal: Journal,
    plan: pd.DataFrame,
    plate: str,
) -> list[Outcome]:
    """The outcomes of all tasks. Undelivered objects get a second, gentler pass; DataError if it fails too.

    An S3 that delivers nothing is waited for, `options.patience_s` at most.
    """
    pace = Pace(options.workers)

    def work(task: Task, stop: threading.Event) -> Outcome:
        return fetch_object(client, options, task, folder, journal, pace, stop)

    def unreachable(outcomes: list[Outcome]) -> bool:
        """Whether the latest objects (`workers` and a few more) all failed, which indicates a fault of S3."""
        latest = outcomes[-(options.workers + 4) :]
        return len(latest) >= min(options.workers + 4, len(tasks)) and all(o.status == UNAVAILABLE for o in latest)

    size = planned_bytes(plan.loc[[task.row for task in tasks]])
    progress = Progress(plate, len(tasks), size, options.progress_s)
    outcomes = list(run_all(tasks, work, options.workers, progress, unreachable))
    outage = Outage(f"plate {plate}", options.patience_s)
    while (asked := _asked_in_an_outage(outcomes, unreachable)) and outage.has_passed(
        lambda: read_once(client, options, asked.key)
    ):
        outcomes = [outcome for outcome in outcomes if outcome.status != UNAVAILABLE]
        settled_rows = {outcome.task.row for outcome in outcomes}
        left = [task for task in tasks if task.row not in settled_rows]
        progress = Progress(plate, len(left), sum(max(task.bytes, 0) for task in left), options.progress_s)
        outcomes += run_all(left, work, options.workers, progress, unreachable)
    again = [outcome.task for outcome in outcomes if outcome.status == UNAVAILABLE]
    if again and not unreachable(outcomes):
        log.warning("plate %s: S3 did not deliver %d objects; trying them once more, two at a time", plate, len(again))
        settled = [outcome for outcome in outcomes if outcome.status != UNAVAILABLE]
        progress = Progress(plate, len(again), sum(max(task.bytes, 0) for task in again), options.progress_s)
        outcomes = settled + list(run_all(again, work, 2, progress, partial(_first_lost, count=20)))
    lost = [outcome for outcome in outcomes if outcome.status == UNAVAILABLE]
    if lost:
        kept = sum(outcome.status == OK for outcome in outcomes)
        waited = f" and {wording.duration(outage.waited)} of waiting" if outage.waited >= 1 else ""
        raise DataError(
            f"plate {plate}: S3 did not deliver {len(lost)} or more of {len(tasks)} objects in "
            f"{options.attempts} attempts each{waited} ({lost[0].task.label}: {lost[0].reason}); {kept} verified "
            "objects are kept, run again to resume; objects that never arrive can go on the list of known bad ones"
        )
    progress.line()
    return outcomes


def _asked_in_an_outage(outcomes: list[Outcome], unreachable: Callable[[list[Outcome]], bool]) -> Task | None:
    """The object to ask for while S3 may be out: one that has come before, else a lost one; None if none is lost.

    One that has come before tells an outage from a fault of the lost objects.
    """
    lost = [outcome.task for outcome in outcomes if outcome.status == UNAVAILABLE]
    came = next((outcome.task for outcome in outcomes if outcome.status == OK), None)
    return (came or (lost[0] if unreachable(outcomes) else None)) if lost else None


def _first_lost(outcomes: list[Outcome], count: int) -> bool:
    return sum(outcome.status == UNAVAILABLE for outcome in outcomes) >= count


def _odd_images(plan: pd.DataFrame, entries: dict[int, Entry], status: list[str], reason: list[str]) -> None:
    """Mark images whose shape or type differs from the plate's most common one (of equals, the larger)."""
    images = {row: entry for row, entry in entries.items() if plan[SITE][row]}
    if not images:
        return
    shapes = Counter(entry.shape for entry in images.values())
    usual = max(shapes, key=lambda shape: (shapes[shape], shape))
    kinds = Counter(entry.dtype for entry in images.values())
    kind = max(kinds, key=lambda name: (kinds[name], name))
    for row, entry in entries.items():
        if entry.shape != usual:
            what = "the plate's images are" if plan[SITE][row] else "the images are"
            status[row] = CORRUPT
            reason[row] = f"is {entry.shape[0]}x{entry.shape[1]} px, {what} {usual[0]}x{usual[1]}"
        elif plan[SITE][row] and entry.dtype != kind:
            status[row], reason[row] = CORRUPT, f"pixels are {entry.dtype}, the plate's images are {kind}"


def _copies(plan: pd.DataFrame, entries: dict[int, Entry], status: list[str], reason: list[str]) -> None:
    """Mark images with the same picture as another of the plate: one of the two must be wrong."""
    places = {row: (plan[WELL][row], plan[SITE][row], plan["channel"][row]) for row in entries if plan[SITE][row]}
    copies = positions_of_copies((place, entries[row].picture) for row, place in places.items())
    for row, place in places.items():
        if place in copies and status[row] == OK:
            status[row], reason[row] = CORRUPT, f"is the same picture as {describe(copies[place])}"


def _whole_sites(plan: pd.DataFrame, status: list[str], reason: list[str]) -> tuple[int, int]:
    """Exclude the other channels of bad sites; return (sites expected, sites bad), without known-bad ones."""
    sites: dict[tuple[str, str], list[int]] = {}
    absent_wells = 0
    for row, (well, site) in enumerate(zip(plan[WELL], plan[SITE], strict=True)):
        if site:
            sites.setdefault((well, site), []).append(row)
        elif well and status[row] != EXCLUDED:
            absent_wells += 1
    bad = known = 0
    for rows in sites.values():
        if any(status[row] in (MISSING, CORRUPT) for row in rows):
            bad += 1
        elif any(status[row] == EXCLUDED for row in rows):
            known += 1
        else:
            continue
        for row in rows:
            if status[row] == OK:
                status[row], reason[row] = EXCLUDED, "another channel of the site is bad"
    # A well that load_data does not list counts as many sites as its neighbours have.
    per_well = Counter(well for well, _ in sites)
    usual = Counter(per_well.values()).most_common(1)[0][0] if per_well else 1
    return len(sites) - known + absent_wells * usual, bad + absent_wells * usual


def _judge_plate(record: pd.DataFrame, expected: int, bad: int, folder: Path, options: S3Options, plate: str) -> None:
    """Raise a DataError if a function or too many sites are bad; bad objects are logged, one line each."""
    problems = record[record["status"].isin([MISSING, CORRUPT])]
    for item in problems.head(50).to_dict("records"):
        log.warning(
            "plate %s, well %s, site %s, %s: %s: %s",
            *(plate, item[WELL] or "-", item[SITE] or "-", item["channel"] or "all", item["status"], item["reason"]),
        )
    functions = problems[problems[WELL] == ""]
    usable = ((record["status"] == OK) & (record[SITE] != "")).any()
    if functions.empty and bad <= options.max_bad_share * expected and usable:
        return
    rows = problems[[*SITE_KEYS, "channel", "status", "reason", "key"]]
    write_text(folder / PROBLEMS, rows.to_csv(sep="\t", index=False))
    if len(functions):
        first = functions.iloc[0]
        raise DataError(
            f"plate {plate}: illumination function of {first['channel']} is {first['status']} ({first['reason']}); "
            "set illumination to none, or leave the plate out"
        )
    listed = "; ".join(
        f"{item[WELL]} site {item[SITE] or 'all'} {item['channel']} {item['status']} ({item['reason']})"
        for item in problems.head(5).to_dict("records")
    )
    if not bad:
        raise DataError(
            f"plate {plate}: every requested site is left out or known bad; leave the whole plate out (`leave_out`)"
        )
    raise DataError(
        f"plate {plate}: {bad} of {expected} sites are missing or corrupt, more than s3.max_bad_share = "
        f"{options.max_bad_share:g} allows: {listed}{'; ...' if len(problems) > 5 else ''}; all are listed in "
        f"{folder / PROBLEMS}; leave the plate out, add the objects to the list of known bad ones, or raise the share"
    )


def _finish(record: pd.DataFrame, plan: pd.DataFrame, folder: Path, journal: Journal) -> None:
    """Delete the files of excluded sites, then write sites.parquet, which makes the folder complete."""
    used = record[(record["status"] == OK)]
    images = used[used[SITE] != ""]
    files = [image_file(*names) for names in zip(images[WELL], images[SITE], images["channel"], strict=True)]
    channels = list(dict.fromkeys(plan.loc[plan[SITE] != "", "channel"]))
    sites = images[SITE_KEYS].drop_duplicates()
    for channel in channels:
        paths = images[SITE_KEYS].assign(**{f"path_{channel}": files})[images["channel"] == channel]
        sites = sites.merge(paths, on=SITE_KEYS, how="left", validate="1:1")
    functions = used.loc[used[WELL] == "", "channel"]
    journal.sweep({*files, *(function_file(channel) for channel in functions)})
    write_table(sites.reset_index(drop=True), folder / "sites.parquet")
    log.info(
        "plate %s: %d sites of %d wells complete, %d objects, %s",
        *(plan[PLATE].iloc[0], len(sites), sites[WELL].nunique(), len(used), wording.size(int(used["bytes"].sum()))),
    )
