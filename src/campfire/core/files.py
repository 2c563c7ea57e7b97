"""Writing files so that a killed job leaves nothing half-written: write beside, then rename."""

import fcntl
import json
import logging
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from campfire.core.errors import CampfireError, DataError, explain_os_error

log = logging.getLogger(__name__)

METADATA_KEY = b"campfire"

UMASK = os.umask(0)
os.umask(UMASK)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it into place only if the block succeeds.

    Raises DataError, naming `path`, where it cannot be written: rights, a missing disk, a name that is too long.
    """
    final = Path(path)
    partial = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}.partial{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        os.chmod(partial, 0o666 & ~UMASK)  # safetensors makes files that a lab's group could not read
        os.replace(partial, final)
    except OSError as error:
        # Only a failure to write this file is explained here, not other failures of the block.
        ours = {str(partial), str(final), *map(str, final.parents)}
        if str(error.filename) in ours and (explanation := explain_os_error(error, final)):
            raise DataError(explanation) from error
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def single_writer(path: str | Path) -> Iterator[None]:
    """Hold the lock of `path` (a state folder or file) while the block runs; it is released however the process ends.

    The lock is the file `.<name>.lock` beside `path` and names its holder. Raises CampfireError naming the holder
    when another live process has it, on this or another machine, and DataError where nothing can be written.
    """
    path = Path(path)
    lock = path.parent / f".{path.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        opened = open(lock, "a+", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise DataError(f"{path}: nothing can be written there ({error.strerror}); choose another place") from error
    with opened as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            raise CampfireError(
                f"{path}: another run is writing here ({handle.read().strip() or 'unknown'}); wait for it, or stop it "
                "and start again (`make slurm-orphans` lists the Slurm jobs that a dead run left behind)"
            ) from error
        except OSError as error:
            # Some network file systems do not support locks; renames keep files whole there too.
            log.warning(
                "%s: this file system does not support locks (%s); make sure that only one run writes here", path, error
            )
        handle.seek(0)
        handle.truncate()
        job = os.environ.get("SLURM_JOB_ID")
        handle.write(f"{socket.gethostname()} process {os.getpid()}{f', Slurm job {job}' if job else ''}\n")
        handle.flush()
        yield


def link_or_copy(source: str | Path, destination: str | Path) -> None:
    """Put the file `source` at `destination` atomically: a hard link where the disk allows it, else a copy."""
    with atomic_path(destination) as partial:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write readable JSON with a stable key order, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_table(
    table: pd.DataFrame | pa.Table,
    path: str | Path,
    metadata: dict[str, Any] | None = None,
    row_group: int | None = None,
) -> None:
    """Write a parquet file atomically; `metadata` is stored as JSON in the file's schema.

    row_group: rows that can be read by themselves; None is pyarrow's default, a million.
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    if metadata is not None:
        text = json.dumps(metadata, sort_keys=True).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: text})
    with atomic_path(path) as partial:
        pq.write_table(table, partial, row_group_size=row_group, compression="zstd", write_page_checksum=True)


def read_table(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a parquet file; raises a DataError naming the file if it is missing or damaged."""
    try:
        return pq.read_table(path, columns=columns, page_checksum_verification=True).to_pandas()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such table; run the step that writes it") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable parquet table ({error}); delete it and run its step again") from error


def read_table_metadata(path: str | Path) -> dict[str, Any]:
    """The JSON metadata that `write_table` stored; {} when there is none."""
    stored = pq.read_schema(path).metadata or {}
    return json.loads(stored.get(METADATA_KEY, b"{}"))
