"""The record provenance.json: what the results were made with, and the checksums of the files behind them."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from campfire.core.digests import file_sha256, value_digest
from campfire.core.files import write_json
from campfire.runs.job_records import by_stage
from campfire.runs.provenance import git_commit, hardware, versions
from campfire.runs.results import Results, recorded_files

log = logging.getLogger(__name__)


def facts(
    results: str | Path, config: Mapping[str, Any], code: Mapping[str, str], files: Iterable[str]
) -> dict[str, Any]:
    """What provenance.json holds.

    results: the root of the results, by which the names of `files` are understood in a copy or after a move
    config: the options that decide them (`Run.counted_config`)
    code: script, table or figure -> its code and library versions
    files: those whose checksums are recorded; those that are not made yet are left out
    """
    present = sorted(path for path in map(str, files) if Path(path).is_file())
    return {
        "results": Path(results).as_posix(),
        "commit": git_commit("."),
        "config": {"digest": value_digest(config), "values": config},
        "versions": versions(),
        "hardware": hardware(),
        "seeds": {
            "split": config["split"]["seed"],
            "sample": config["sample"]["seed"],
            **{f"pretrain {run}": options["seed"] for run, options in config["pretrain"]["runs"].items()},
        },
        "stages": by_stage(Path(results) / "state" / "provenance"),
        "code": code,
        "files": {path: file_sha256(path) for path in present},
        "modified": {path: Path(path).stat().st_mtime for path in present},
    }


def follow(workflow: Any, results: Results) -> None:
    """Write provenance.json after a run of any target that made a recorded file; `all` has written it already.

    workflow: Snakemake's, whose jobs have run. Called by `onsuccess`; a failure is a warning.
    """
    if workflow.touch:
        return
    path = Path(results.run.files.provenance)
    files = recorded_files(results)
    try:
        made = path.stat().st_mtime if path.is_file() else 0.0
        if any(os.path.getmtime(name) > made for name in files if os.path.isfile(name)):
            run = results.run
            write_json(path, facts(run.files.results, run.counted_config(), results.digests(), files))
    except OSError as error:
        log.warning("%s: not written (%s)", path, error)
