"""Embedding tables: a cell's keys and its embedding as one fixed-size list column. Needs no torch."""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, NUCLEUS, SITE, WELL
from campfire.core.errors import DataError
from campfire.core.files import read_table_metadata, write_table
from campfire.screen.wells import well_name

COLUMN = "embedding"
ROW_GROUP = 16_384
"""Rows that a reader of some cells has in memory at once: 67 MB of 1,024 dimensions."""

log = logging.getLogger(__name__)


def write(
    path: str | Path, keys: pd.DataFrame, array: NDArray[np.float32], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write keys (N rows, any columns) and embeddings (N, D) float32, atomically.

    `metadata` goes to the file's schema beside `dim` (and should name encoder, channels and weights digest).
    Raises DataError when lengths differ, a key column is absent or a value is not finite.
    """
    array = np.ascontiguousarray(array, dtype=np.float32)
    if array.ndim != 2 or len(array) != len(keys):
        raise DataError(f"{path}: {len(keys)} cells but embeddings of shape {array.shape}; write one row per cell")
    missing = [column for column in CELL_KEYS if column not in keys.columns]
    if missing:
        raise DataError(f"{path}: the cells lack {', '.join(missing)}")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        cell = "/".join(str(value) for value in keys.loc[bad, CELL_KEYS].iloc[0])
        raise DataError(f"{path}: {bad.sum()} embeddings are not finite, the first of cell {cell}; check the weights")
    table = pa.Table.from_pandas(plain_keys(keys, path).reset_index(drop=True), preserve_index=False)
    width = array.shape[1]
    column = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), width)
    table = table.append_column(COLUMN, column)
    write_table(table, path, metadata={**(metadata or {}), "dim": width}, row_group=ROW_GROUP)


def read(path: str | Path, cells: pd.DataFrame | None = None) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Keys (N rows) and embeddings (N, D) float32, C order, of a file of `write`. DataError for other files.

    cells: a table with the cell keys; only these cells are kept, in the file's order, and no more than a row group of
    the file is in memory beside them.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=cells is None) as file:
            schema = file.schema_arrow
            table = file.read() if cells is None else _rows_of(file, cells, path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such embeddings; run the embed step of this plate") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path}: not a readable parquet table ({error}); delete it and embed the plate again"
        ) from error
    if COLUMN not in schema.names or not pa.types.is_fixed_size_list(schema.field(COLUMN).type):
        raise DataError(f"{path}: has no `{COLUMN}` column of fixed-size lists; it is not a table of embeddings")
    width = schema.field(COLUMN).type.list_size
    column = table.column(COLUMN)
    array = np.empty((len(table), width), dtype=np.float32)
    start = 0
    for chunk in column.chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        array[start : start + len(chunk)] = values.reshape(len(chunk), width)
        start += len(chunk)
    return plain_keys(table.drop_columns([COLUMN]).to_pandas(), path), array


def _rows_of(file: pq.ParquetFile, cells: pd.DataFrame, path: str | Path) -> pa.Table:
    """The rows of an opened file whose keys are among `cells`, read one row group at a time."""
    wanted = pd.MultiIndex.from_frame(cells[CELL_KEYS])
    parts = []
    for number in range(file.num_row_groups):
        keys = plain_keys(file.read_row_group(number, columns=CELL_KEYS).to_pandas(), path)
        chosen = pd.MultiIndex.from_frame(keys[CELL_KEYS]).isin(wanted)
        if chosen.any():
            parts.append(file.read_row_group(number).filter(pa.array(chosen)))
    return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table()


def plain_keys(keys: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Cell keys as this project writes them: plate and site text without a number's .0, wells A01, nuclei whole.

    Tables made elsewhere have them as pandas read them: sites and plates as numbers, nuclei as text, wells as A1.
    Columns already in this form are unchanged. DataError for a missing key or a nucleus that is not a whole number.
    """
    changed = {}
    for column in (name for name in CELL_KEYS if name in keys):
        values = keys[column]
        if values.isna().any():
            raise DataError(f"{path}: {int(values.isna().sum())} rows have no {column}; fill them in or leave them out")
        if column == NUCLEUS:
            if not pd.api.types.is_integer_dtype(values):
                numbers = pd.to_numeric(values, errors="coerce")
                if numbers.isna().any() or (numbers % 1 != 0).any():
                    bad = values[numbers.isna() | (numbers % 1 != 0)].iloc[0]
                    raise DataError(f"{path}: nucleus {bad!r} is no whole number; give the label of the nucleus")
                changed[column] = numbers.astype(np.int32)
            continue
        plain = {value: _plain_key(value, column) for value in values.unique()}
        if any(not isinstance(value, str) or value != text for value, text in plain.items()):
            changed[column] = values.map(plain).astype(object)
    return keys.assign(**changed) if changed else keys


def _plain_key(value: Any, column: str) -> str:
    text = str(value).strip()
    if column != WELL and not isinstance(value, str) and text.endswith(".0"):
        text = text[:-2]
    if column == SITE and (number := re.fullmatch(r"0*(\d+)(?:[.]0+)?", text)):
        return number[1]
    return (well_name(text) or text) if column == WELL else text


def leave_out_missing(sample: pd.DataFrame, paths: Iterable[str | Path]) -> pd.DataFrame:
    """The sample without cells that a table of embeddings made elsewhere lacks (`missing` of its files' metadata)."""
    lost = [[Path(path).stem, *cell] for path in paths for cell in read_table_metadata(path).get("missing", [])]
    if not lost:
        return sample
    absent = pd.MultiIndex.from_tuples([tuple(cell) for cell in lost])
    kept = ~pd.MultiIndex.from_frame(sample[CELL_KEYS]).isin(absent)
    log.warning("%d of %d sampled cells have no embedding in the table and are left out", (~kept).sum(), len(sample))
    return sample[kept]


def read_plates(
    paths: Iterable[str | Path], cells: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Keys (N rows) and embeddings (N, D) of several files, concatenated. DataError where D differs.

    cells: keep only these (see `read`): memory then depends on their number, not on that of plates or embedded cells.
    """
    parts = {str(path): read(path, cells) for path in paths}
    widths = {path: array.shape[1] for path, (_, array) in parts.items()}
    if len(set(widths.values())) > 1:
        first, second = min(widths, key=widths.__getitem__), max(widths, key=widths.__getitem__)
        raise DataError(
            f"{second}: embeddings of {widths[second]} dimensions, but {widths[first]} in {first}; delete the older one"
        )
    if not parts:
        raise DataError("embeddings: no file was given; the sheet has no evaluation plate")
    keys = pd.concat([keys for keys, _ in parts.values()], ignore_index=True)
    return keys, np.concatenate([array for _, array in parts.values()])
