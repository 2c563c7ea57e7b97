"""Downloading objects from S3 in parallel; each is verified, then renamed into place."""

import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campfire.core import text as wording
from campfire.core.errors import DataError
from campfire.core.files import atomic_path
from campfire.core.retry import Backoff, retry
from campfire.images.gallery.client import NotFoundError, RefusedError, Reply, UnavailableError, read_once, same_version
from campfire.images.gallery.faults import ChangedError
from campfire.images.gallery.journal import Entry, Journal
from campfire.images.gallery.options import S3Options
from campfire.images.gallery.pace import Pace
from campfire.images.gallery.verify import BadObjectError, Checked, check_function, check_image

log = logging.getLogger(__name__)

OK, MISSING, CORRUPT, EXCLUDED, UNAVAILABLE = "ok", "missing", "corrupt", "excluded", "unavailable"
"""`unavailable` never appears in a table: it fails the plate, because it says nothing about the data."""


@dataclass(frozen=True)
class Task:
    """A row of the plan that is to be fetched; `row` is its position there."""

    row: int
    label: str
    file: str
    key: str
    bytes: int
    md5: str
    version: str
    function: bool


@dataclass(frozen=True)
class Outcome:
    """Result of a task; `entry` is set if its status is ok."""

    task: Task
    status: str
    reason: str = ""
    entry: Entry | None = None
    received: int = 0


def judge(reply: Reply, task: Task, check_etag: bool) -> Checked:
    """Facts about an intact object; raises BadObjectError with the reason for any other.

    Raises ChangedError if the object changed since it was listed.
    """
    if check_etag and not same_version(reply.version, task.version):
        raise ChangedError(
            f"{task.label}: {task.key} changed after it was listed; wait until the upload has ended and run again (or, "
            "if this server gives other ETags in its listings, set s3.check_etag: false)"
        )
    if not reply.body:
        raise BadObjectError("empty object")
    if task.bytes >= 0 and task.bytes not in (len(reply.body), reply.sent):
        raise BadObjectError(f"{len(reply.body)} bytes came, S3 lists {task.bytes}")
    if check_etag and reply.stored_md5 not in ("", reply.md5):
        raise BadObjectError(f"its MD5 {reply.md5} is not the ETag {reply.stored_md5}")
    if task.md5 and reply.md5 != task.md5:
        raise BadObjectError(f"its MD5 {reply.md5} is not the gallery's {task.md5}")
    return check_function(reply.body) if task.function else check_image(reply.body)


def fetch_object(
    client: Any, options: S3Options, task: Task, folder: Path, journal: Journal, pace: Pace, stop: threading.Event
) -> Outcome:
    """Fetch, verify and place one object, with retries while the transfer rather than the object may be at fault.

    Bad bytes whose MD5 equals the ETag are the object's own: it is corrupt at once. Other bad bytes are fetched again:
    the same bytes in every attempt mean a corrupt object, varying ones an unavailable one.
    """
    entry = journal.find(task.file, task.key, task.bytes, task.version)
    if entry is not None and task.md5 in ("", entry.md5):
        return Outcome(task, OK, entry=_with_picture(entry, task, folder, journal))
    seen: set[str] = set()  # MD5 of what each attempt brought, "" for nothing whole

    def ask(_: bool) -> Outcome:
        reply = None
        try:
            with pace.turn():
                reply = read_once(client, options, task.key, stop)
            checked = judge(reply, task, options.check_etag)
        except (NotFoundError, RefusedError) as error:
            missing = isinstance(error, NotFoundError)
            return Outcome(task, MISSING, "no such object (404)" if missing else str(error))
        except (UnavailableError, BadObjectError) as error:
            seen.add(reply.md5 if reply else "")
            if reply and reply.body and reply.md5 == reply.stored_md5 and task.bytes in (-1, len(reply.body)):
                return Outcome(task, CORRUPT, str(error))
            raise
        pace.succeeded()
        return Outcome(task, OK, entry=_keep(reply, checked, task, folder, journal), received=len(reply.body))

    def warn(error: Exception, attempt: str) -> None:
        slow = isinstance(error, UnavailableError) and error.slow_down
        if slow and pace.slow_down():
            log.info("S3 asks to slow down: %d requests in flight from now on", pace.limit)
        # A burst of 503 is logged once, not hundreds of times.
        log.log(logging.DEBUG if slow else logging.WARNING, "%s: %s (%s)", task.label, error, attempt)

    try:
        backoff = Backoff(options.attempts, options.backoff_s, stop)
        return retry(ask, (UnavailableError, BadObjectError), backoff, warn)
    except (UnavailableError, BadObjectError) as error:
        reason = str(error)
        settled = len(seen) == 1 and "" not in seen and not (reason == "empty object" and task.bytes > 0)
        return Outcome(task, CORRUPT if settled else UNAVAILABLE, reason)


def _keep(reply: Reply, checked: Checked, task: Task, folder: Path, journal: Journal) -> Entry:
    """Place a verified object in the folder and enter it in the journal."""
    _place(reply.body, folder / task.file)
    known = (reply.version or task.version, checked.dtype, checked.picture)
    entry = Entry(task.file, task.key, len(reply.body), reply.md5, checked.shape, task.bytes, *known)
    journal.add(entry)
    return entry


def _with_picture(entry: Entry, task: Task, folder: Path, journal: Journal) -> Entry:
    """An entry with the digest of its picture, which journals of earlier versions lack."""
    if task.function or entry.picture:
        return entry
    checked = check_image((folder / task.file).read_bytes())
    entry = replace(entry, dtype=checked.dtype, picture=checked.picture)
    journal.add(entry)
    return entry


def _place(body: bytes, path: Path) -> None:
    try:
        with atomic_path(path) as partial:
            partial.write_bytes(body)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free
            raise DataError(
                f"{path.parent}: the disk is full ({error.strerror}, {wording.size(free)} free); "
                "make room or have fewer plates at a time, then run again: what is here is kept"
            ) from error
        raise


class Progress:
    """Progress of a plate, logged every few seconds: objects, bytes, rate, time left."""

    def __init__(self, plate: str, objects: int, size: int, every: float) -> None:
        self._plate, self._objects, self._size, self._every = plate, objects, size, every
        self._done = self._bytes = self._received = 0
        self._start = self._last = time.monotonic()

    def step(self, outcome: Outcome) -> None:
        self._done += 1
        self._bytes += outcome.entry.bytes if outcome.entry else 0
        self._received += outcome.received
        if time.monotonic() - self._last >= self._every:
            self.line()

    def line(self) -> None:
        self._last = time.monotonic()
        elapsed = max(self._last - self._start, 1e-6)
        left = elapsed * (self._objects - self._done) / max(self._done, 1)
        log.info(
            "plate %s: %d of %d objects, %s of %s, %.1f MB/s, %s left",
            *(self._plate, self._done, self._objects, wording.size(self._bytes), wording.size(self._size)),
            *(self._received / elapsed / 1e6, f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"),
        )


def run_all(
    tasks: list[Task],
    work: Callable[[Task, threading.Event], Outcome],
    workers: int,
    progress: Progress,
    give_up: Callable[[list[Outcome]], bool],
) -> Iterable[Outcome]:
    """The outcomes of `tasks`, in any order, `workers` at a time and never more than twice that queued.

    No more tasks start when `give_up` returns true for the outcomes so far; a worker's exception stops all others.
    """
    stop = threading.Event()
    outcomes: list[Outcome] = []
    waiting = iter(tasks)
    with ThreadPoolExecutor(workers, thread_name_prefix="fetch") as pool:
        pending: set[Future[Outcome]] = set()
        try:
            while True:
                while len(pending) < 2 * workers and (task := next(waiting, None)) is not None:
                    pending.add(pool.submit(work, task, stop))
                if not pending:
                    return outcomes
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    outcomes.append(future.result())
                    progress.step(outcomes[-1])
                if give_up(outcomes):
                    return outcomes
        finally:
            stop.set()
            for future in pending:
                future.cancel()
