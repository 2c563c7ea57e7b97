"""The log handler behind `snakemake --logger campfire`: the stages of a run on a terminal, or lines in a file."""

import os
import shutil
import sys
import threading
import time
from logging import WARNING, LogRecord
from typing import Any, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from campfire.runs.job_logs import last_error
from campfire.runs.progress.stages import Job, Progress, Stage
from campfire.runs.progress.terminal import SHOWS_STAGES, Warnings, identity

SECONDS_BETWEEN_DRAWINGS = 1.0
SECONDS_BETWEEN_LINES = 15.0
"""Of a stage, where the output is no terminal."""
REPEATED = ("RuleException", "CalledProcessError")
"""Exceptions by which Snakemake reports a failed job, which has a line of its own."""
REPEATED_TEXTS = ("RuleException:", "Exiting because a job execution failed", "At least one job did not complete")
SHOWN_TEXTS = ("Nothing to be done", "Report created", "Creating conda environment")
"""Beginnings of messages of Snakemake that are shown."""


class LogHandler(LogHandlerBase):
    """Shows the stages of a run; warnings, errors and messages marked `campfire` in full; leaves the rest to log files.

    A dry run, and `--verbose`, print what Snakemake prints.
    """

    def __post_init__(self) -> None:
        """Called by Snakemake's base class; jobs that write to this terminal will write to their logs alone."""
        self.plain = bool(self.common_settings.dryrun or self.common_settings.verbose)
        self.stream: TextIO = sys.stdout if self.common_settings.stdout else sys.stderr
        self.progress = Progress(time.monotonic())
        self.drawn = 0
        self.said: dict[str, tuple[str, float]] = {}
        self.began = False
        self.closed = threading.Event()
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        if not self.plain:
            os.environ[SHOWS_STAGES] = identity(self.stream)
            self.warnings = Warnings()
            if self.terminal:
                threading.Thread(target=self._tick, daemon=True).start()

    @property
    def writes_to_stream(self) -> bool:
        """Snakemake prints nothing of its own beside it."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake's own log file stays."""
        return False

    @property
    def has_filter(self) -> bool:
        """A dry run is filtered as usual."""
        return not self.plain

    @property
    def has_formatter(self) -> bool:
        """A dry run is formatted as usual."""
        return not self.plain

    @property
    def needs_rulegraph(self) -> bool:
        """The rule graph is not shown."""
        return False

    def emit(self, record: LogRecord) -> None:
        """Take an event of the run, or print a message."""
        try:
            if self.plain:
                if text := self.format(record):
                    print(text, file=self.stream, flush=True)
            else:
                self._take(record)
        except Exception:  # noqa: BLE001 (a display must not end a run)
            self.handleError(record)

    def close(self) -> None:
        """Print the last state of the stages and the time that the run took."""
        if not self.plain and not self.closed.is_set():
            self.closed.set()
            if self.began:
                self.acquire()
                self._draw(last=True)
                if self.warnings.repeated:
                    self._print(f"{self.warnings.repeated} repeated warnings are only in the jobs' logs.")
                self._print(self.progress.end(time.monotonic()))
                self.release()
            self.warnings.close()
        super().close()

    def _take(self, record: LogRecord) -> None:
        event, now = getattr(record, "event", None), time.monotonic()
        facts: dict[str, Any] = record.__dict__
        if event == LogEvent.RUN_INFO:
            self.progress.plan(facts["stats"])
            self.began = True
        elif event == LogEvent.JOB_INFO:
            name = "/".join(map(str, facts["wildcards"].values()))
            log = str(next(iter(facts["log"] or ()), ""))
            self.progress.start(facts["jobid"], Job(facts["rule_name"], name, log, now))
        elif event == LogEvent.JOB_FINISHED:
            self.progress.finish(facts["job_id"], now)
        elif event == LogEvent.JOB_ERROR:
            self._report_failure(facts["jobid"], now, bool(facts.get("indent")))
        elif event not in (None, LogEvent.ERROR):
            return
        elif record.levelno >= WARNING or getattr(record, "campfire", False) or str(record.msg).startswith(SHOWN_TEXTS):
            self._print_message(record)
        self._draw()

    def _report_failure(self, number: int, now: float, of_group: bool) -> None:
        job = self.progress.fail(number, now)
        if job is None:
            return
        error = last_error(job.log)
        if error or not of_group:  # other members of a failed group have no error
            log = f" ({job.log})" if job.log else ""
            self._print(f"FAILED {job.label}: {error or 'no error in its log: killed, or never started'}{log}")

    def _print_message(self, record: LogRecord) -> None:
        text = str(record.msg or "")
        exception = getattr(record, "exception", "")
        repeated = exception in REPEATED or any(part in text for part in REPEATED_TEXTS)
        if text and text != "None" and not (repeated and self.progress.jobs):
            self._print(text)

    def _print(self, text: str) -> None:
        """A lasting line above the stages."""
        self._erase()
        print(text, file=self.stream, flush=True)

    def _erase(self) -> None:
        if self.drawn:
            self.stream.write(f"\033[{self.drawn}F\033[J")
            self.drawn = 0

    def _tick(self) -> None:
        while not self.closed.wait(SECONDS_BETWEEN_DRAWINGS):
            self.acquire()
            self._draw()
            self.release()

    def _draw(self, last: bool = False) -> None:
        """Draw the stages anew on a terminal; elsewhere print those of which there is news, not too often."""
        if not self.began:
            return
        now = time.monotonic()
        for line in self.warnings.new():
            self._print(line)
        stages = list(self.progress.stages.values())
        if self.terminal:
            self._erase()
            width = shutil.get_terminal_size().columns - 1
            lines = [self.progress.line(stage, now)[:width] for stage in stages if stage.total]
            self.stream.write("".join(f"{line}\n" for line in lines))
            self.stream.flush()
            self.drawn = 0 if last else len(lines)
            return
        for stage in stages:
            self._print_news(stage, now, last)

    def _print_news(self, stage: Stage, now: float, last: bool) -> None:
        state = f"{stage.done}/{stage.total}"
        told, when = self.said.get(stage.name, ("", -SECONDS_BETWEEN_LINES))
        complete = stage.done >= stage.total
        is_news = state != told and (stage.done or stage.running)
        if is_news and (complete or last or now - when >= SECONDS_BETWEEN_LINES):
            self.said[stage.name] = (state, now)
            print(self.progress.line(stage, now, details=not complete), file=self.stream, flush=True)
