"""Writing files so that a killed job leaves nothing half-written: write beside, then rename."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from campfire.errors import DataError

METADATA_KEY = b"campfire"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it into place only if the block succeeds."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}.partial{final.suffix}")
    try:
        yield partial
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)


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


def write_table(table: pd.DataFrame | pa.Table, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write a parquet file atomically; `metadata` is stored as JSON in the file's schema."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    if metadata is not None:
        text = json.dumps(metadata, sort_keys=True).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: text})
    with atomic_path(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def read_table(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a parquet file; a missing or damaged file is a DataError that names it."""
    try:
        return pq.read_table(path, columns=columns).to_pandas()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such table; run the step that writes it") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable parquet table ({error}); delete it and run its step again") from error


def read_table_metadata(path: str | Path) -> dict[str, Any]:
    """The JSON metadata that `write_table` stored; {} when there is none."""
    stored = pq.read_schema(path).metadata or {}
    return json.loads(stored.get(METADATA_KEY, b"{}"))
