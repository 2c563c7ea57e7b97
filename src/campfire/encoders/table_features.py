"""Which columns of a table made elsewhere are its embedding, and how a text file of any spreadsheet is read."""

import csv
import gzip
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.errors import DataError
from campfire.core.text import some

log = logging.getLogger(__name__)

_NO_FEATURE = re.compile(
    r"""(?ix) unnamed:.* | index | level_\d+ | .*metadata_.* | (file|path)name.*
    | (image|object|table|cell|nucleus|nuclei|site|field|well|plate|batch)_?(number|no|nr|id|index|idx|label)?
    | (image_)?count_\w+ | (cell|nucleus|nuclei|object)s?_?count | .*number_object_number
    | .*_?(parent|children)_.* | label | id | fov | row | col(umn)? | position
    | .*location_(center|max|min).* | .*location_.*_[xyz] | .*bounding_?box.* | bbox.* | [xyz]
    | cent(er|re|roid)[_-]?[xyz0-9] | .*_(center|centre|centroid)[_-]?[xyz] | time(point)? | frame | plane | z
    """
)
"""Names of columns that say where or what a cell is; no measurement of it."""
_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")
FEWEST = 2
"""Cells of a well from which on a column with one value for each well is no measurement of cells."""


def read_text_table(path: Path, as_text: Collection[str]) -> pd.DataFrame:
    """A CSV or TSV as a spreadsheet writes it: commas, semicolons or tabs; decimal commas; UTF-8 or UTF-16.

    as_text: columns, in lower case, that are not turned into numbers
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        encoding = "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with opened(path, "rt", encoding=encoding, newline="") as file:
        header, *sample = [line for line in (file.readline() for _ in range(20)) if line]
    separator = max("\t,;", key=header.count)
    names = next(csv.reader([header.strip("\r\n")], delimiter=separator))
    cells = [cell for line in csv.reader(sample, delimiter=separator) for cell in line]
    decimal = "," if separator != "," and any(map(_COMMA.fullmatch, cells)) else "."
    kinds: Any = {name: str for name in names if name.lower() in as_text}
    return pd.read_csv(path, sep=separator, dtype=kinds, encoding=encoding, decimal=decimal, low_memory=False)


def read_features(
    table: pd.DataFrame, features: Sequence[str] | str, keys: Mapping[str, str], path: Path
) -> NDArray[np.float32]:
    """The embeddings (N, D) of a table.

    features: columns of the embedding, or the beginning of their names; by default a column of lists, else all numeric
    columns that are neither in `keys` (plate, well, ... -> column) nor named as something else than a measurement.
    DataError where a column that may be a feature is text, or has one value for each well, as a dose or label has.
    """
    if isinstance(features, str) and features:
        named = [c for c in map(str, table.columns) if c.startswith(features)]
        chosen = [c for c in named if not _is_elsewhere(c, keys.values())]
    elif features:
        missing = [name for name in features if name not in table]
        if missing:
            raise DataError(f"{path}: has no column {some(missing)}; correct the encoder's `features`")
        chosen = list(features)
    else:
        chosen = _default_features(table, keys, path)
    if not chosen:
        written = [
            c for c in map(str, table.columns) if table[c].astype(str).str.fullmatch(r"\s*[\[(].*,.*[\])]\s*").any()
        ]
        hint = f"; {some(written)} holds lists written as text: write the table as parquet" if written else ""
        raise DataError(f"{path}: no columns of an embedding{hint}; name them, or how they begin, as `features`")
    if len(chosen) == 1 and _holds_lists(table, chosen[0]):
        return _from_lists(table[chosen[0]], path)
    _refuse_text(table, chosen, path)
    return table[chosen].to_numpy(dtype=np.float32)


def refuse_zeros(matrix: NDArray[np.float32], cells: pd.DataFrame, path: str | Path) -> None:
    """Raise a DataError for embeddings that are zero throughout: cells that another program failed to embed."""
    zero = ~matrix.any(axis=1)
    if zero.any() and not zero.all():
        first = cells[zero].iloc[0]
        raise DataError(
            f"{path}: {int(zero.sum())} embeddings are zero throughout, the first of plate {first['plate']}, well "
            f"{first['well']}; leave out the rows of cells that were not embedded"
        )


def _is_elsewhere(column: str, keys: Collection[str]) -> bool:
    return column in keys or _NO_FEATURE.fullmatch(column) is not None


def _holds_lists(table: pd.DataFrame, column: str) -> bool:
    return len(table) > 0 and isinstance(table[column].iloc[0], list | tuple | np.ndarray)


def _default_features(table: pd.DataFrame, keys: Mapping[str, str], path: Path) -> list[str]:
    if lists := [str(column) for column in table.columns if _holds_lists(table, column)]:
        return lists[:1]
    open_to_all = [c for c in map(str, table.columns) if not _is_elsewhere(c, keys.values())]
    numeric = set(map(str, table.select_dtypes("number").columns))
    if doubtful := [c for c in open_to_all if c not in numeric and _is_mostly_numbers(table[c])]:
        value = next(v for v in table[doubtful[0]] if not _is_number(v))
        raise DataError(
            f"{path}: column {some(doubtful)} holds numbers and text such as {value!r}; write it as numbers with a "
            "decimal point, or name the columns of the embedding as `features`"
        )
    chosen = [c for c in open_to_all if c in numeric]
    if labels := _one_value_per_well(table, chosen, [keys["plate"], keys["well"]]):
        raise DataError(
            f"{path}: column {some(labels)} has one value for each well, as a dose or a label has; name the columns of "
            "the embedding, or how they begin, as `features`"
        )
    left_out = [c for c in map(str, table.columns) if c not in chosen and c not in keys.values()]
    others = f"; left out: {some(left_out)}" if left_out else ""
    log.info("%s: %d features, %s%s", path, len(chosen), some(chosen, 4) or "none", others)
    return chosen


def _one_value_per_well(table: pd.DataFrame, columns: list[str], well: list[str]) -> list[str]:
    """The columns that vary, but within no well, where all have several cells. well: the columns that name it."""
    groups = table.groupby(well, sort=False, observed=True)
    sizes = groups.size()
    if not columns or len(sizes) < 2 or (sizes < FEWEST).any():
        return []
    within, overall = groups[columns].nunique(), table[columns].nunique()
    return [column for column in columns if overall[column] > 1 and (within[column] <= 1).all()]


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return isinstance(value, int | float | np.number)


def _is_mostly_numbers(column: pd.Series) -> bool:
    """Whether most of a column of text reads as numbers, with decimal commas and separators of thousands or not."""
    if column.dtype == bool or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    text = column.dropna().astype(str).str.strip()
    if not len(text):
        return False
    return bool(text.str.fullmatch(r"[-+]?[\d.,]*\d[\d.,]*([eE][-+]?\d+)?").mean() > 0.5)


def _refuse_text(table: pd.DataFrame, chosen: list[str], path: Path) -> None:
    for column in chosen:
        if not pd.api.types.is_numeric_dtype(table[column]):
            numbers = pd.to_numeric(table[column], errors="coerce")
            wrong = table[column][numbers.isna()]
            shown = f" such as {wrong.iloc[0]!r}" if len(wrong) else ""
            raise DataError(f"{path}: feature {column} is text{shown}; write it as numbers with a decimal point")


def _from_lists(column: "pd.Series[Any]", path: Path) -> NDArray[np.float32]:
    if (empty := column.isna()).any():
        raise DataError(f"{path}: {int(empty.sum())} rows have no {column.name}; leave these rows out of the table")
    lengths = column.map(len)
    if lengths.min() != lengths.max():
        raise DataError(f"{path}: embeddings of {lengths.min()} to {lengths.max()} numbers; all must be alike long")
    return np.stack(column.map(lambda row: np.asarray(row, dtype=np.float32)).to_list())
