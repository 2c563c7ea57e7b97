"""The start of every script: log to the rule's log file, report errors in one line, record the job."""

import atexit
import json
import logging
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

# Threads that spin while waiting take cores from those that compute; read when NumPy and torch are imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from campfire.core.memory import collect_seldom, keep_freed_memory

collect_seldom()  # before pandas is imported

import campfire
from campfire.core.errors import CampfireError, explain_os_error
from campfire.runs.job_records import attempts_before, begin, end, record_path, seeds_in
from campfire.runs.progress.terminal import shows_stages, warnings_handler


def share_library() -> None:
    """Let processes that jobs start import this very library, wherever it was imported from.

    Snakemake passes its module path to scripts; a process that a script starts has only the environment, and in a conda
    environment not even that.
    """
    source = Path(campfire.__file__).parents[1]
    if source.name == "src":
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(source), *(path for path in known if path != str(source))])


def start(snakemake: Any) -> logging.Logger:
    """Send log lines to the rule's log file and the terminal; end a user's error as one line without traceback.

    The terminal gets no lines of libraries below a warning, and where it shows the stages of the run
    (`runs.progress`) it gets warnings alone: all that the job prints goes to its log file.
    """
    share_library()
    keep_freed_memory()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.partition(".")[0] == "campfire")
    handlers: list[logging.Handler] = [terminal]
    last_sign = 0.0
    if snakemake.log:
        file = Path(snakemake.log[0])
        file.parent.mkdir(parents=True, exist_ok=True)
        last_sign = file.stat().st_mtime if file.is_file() else 0.0
        # A requeued or repeated job goes on writing below the lines of the attempt before.
        mode = "a" if attempts_before(job_record(snakemake)) else "w"
        to_file = logging.FileHandler(file, mode=mode, encoding="utf-8")
        handlers = [*warnings_to_run(), to_file] if redirect(to_file) else [terminal, to_file]
    words = ",".join(f"{value}" for value in snakemake.wildcards)
    name = f"{snakemake.rule}[{words}]" if words else snakemake.rule
    logging.basicConfig(
        level=logging.INFO, handlers=handlers, format=f"%(asctime)s {name}: %(message)s", datefmt="%H:%M:%S", force=True
    )
    for chatty in ("botocore", "boto3", "urllib3", "matplotlib", "fontTools", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    log = logging.getLogger("campfire.workflow")
    began = time.monotonic()

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        took = f"after {time.monotonic() - began:.0f} s"
        if isinstance(error, CampfireError):
            log.error("ERROR %s: %s", took, error)
        elif isinstance(error, OSError) and (explanation := explain_os_error(error)):
            log.error("ERROR %s: %s", took, explanation)
        else:
            log.error("unexpected error %s", took, exc_info=(kind, error, trace))

    sys.excepthook = report
    note(snakemake, log, last_sign)
    return log


def redirect(to_file: logging.FileHandler) -> bool:
    """Send what the job prints to its log file if the terminal shows the stages of the run; returns whether it does."""
    if to_file.stream is None or not shows_stages(sys.stderr):
        return False
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(to_file.stream.fileno(), stream.fileno())
    return True


def warnings_to_run() -> list[logging.Handler]:
    """A handler that leaves warnings of this project to the run; its errors are read from the log."""
    handlers = warnings_handler()
    for handler in handlers:
        handler.addFilter(lambda record: record.levelno == logging.WARNING and record.name.startswith("campfire"))
    return [*handlers]


def job_record(snakemake: Any) -> Path:
    """The record of this job below results/state."""
    folder = Path(snakemake.config["results"]) / "state" / "provenance"
    return record_path(folder, snakemake.rule, dict(snakemake.wildcards.items()).values())


def note(snakemake: Any, log: logging.Logger, last_sign: float = 0.0) -> None:
    """Record what the job is and where it runs, for provenance.json; a failure to write it does not fail the job.

    last_sign: time of the last line in the log of an earlier attempt.
    """
    folder = Path(snakemake.config["results"]) / "state" / "provenance"
    params = dict(snakemake.params.items())
    facts = {
        "code": params.get("code"),
        "seeds": seeds_in({name: value for name, value in params.items() if name != "config"}),
        "threads": snakemake.threads,
        "gpus": int(snakemake.resources.get("gpu", 0) or 0),
        "process": os.getpid(),
    }
    lasting = [str(path) for path in snakemake.output if Path(path).parent.name != "images"]
    try:
        record = begin(folder, snakemake.rule, dict(snakemake.wildcards.items()), lasting, facts, last_sign)
    except OSError as error:
        log.warning("no record of this job: %s", error)
        return
    if before := json.loads(record.read_text(encoding="utf-8"))["attempts"]:
        log.info("attempt %d of this job; the one before ended without its outputs", len(before) + 1)

    def finish() -> None:
        try:
            end(record)
        except OSError as error:
            log.warning("no record of this job's end: %s", error)

    atexit.register(finish)
