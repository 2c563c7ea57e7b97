"""Reading embeddings made elsewhere: parquet, CSV or AnnData with plate, well and the identity of the cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import ConfigError, DataError, reason
from campfire.core.text import some
from campfire.encoders.table_features import read_features, read_text_table, refuse_zeros
from campfire.screen.wells import well_name

PLAIN = {
    "plate": (names.PLATE, "plate", "plate_id", "barcode", "Image_Metadata_Plate"),
    "well": (names.WELL, "well", "well_id", "well_position", "Image_Metadata_Well"),
    "site": (names.SITE, "site", "field", "fov", "Image_Metadata_Site"),
    "nucleus": (names.NUCLEUS,),
    "y": ("y", "center_y", "centre_y", "centroid_y", "Nuclei_Location_Center_Y", "Metadata_Nuclei_Location_Center_Y"),
    "x": ("x", "center_x", "centre_x", "centroid_x", "Nuclei_Location_Center_X", "Metadata_Nuclei_Location_Center_X"),
}
"""Roles of key columns and their recognised names, in any case."""

TEXTS = ("plate", "well", "site")


@dataclass(frozen=True)
class CellTable:
    """Embeddings of cells or wells with their keys."""

    path: str
    cells: pd.DataFrame
    """Columns plate, well, and for cells site, with nucleus (int) or y and x (px); or with all three."""
    vectors: NDArray[np.float32]

    @property
    def level(self) -> str:
        """`well`, `nucleus` (joined by its label) or `centre` (joined by position)."""
        if "site" not in self.cells:
            return "well"
        return "nucleus" if "nucleus" in self.cells else "centre"


def read_cell_table(path: str | Path, columns: Mapping[str, str], features: Sequence[str] | str = ()) -> CellTable:
    """The table at `path` (.parquet, .csv, .csv.gz, .tsv, .h5ad).

    columns: the user's names of plate, well, site, nucleus, y, x, where they are not recognised. features: columns of
    the embedding, or the beginning of their names; by default a column of lists, else the numeric columns that are no
    keys, places, numbers of objects or metadata. DataError names what is missing, not finite or doubtful.
    """
    place = Path(path)
    if not place.is_file():
        raise DataError(f"{path}: no such table of embeddings; correct the encoder's `path`")
    try:
        table, matrix = _read(place, [str(name) for name in columns.values()])
    except (DataError, ConfigError):
        raise
    except Exception as error:  # pandas, Arrow and HDF5 raise their own types
        raise DataError(f"{path}: not readable as {place.suffix} ({reason(error)}); write the table again") from error
    found = _find_columns(table, columns, place)
    if matrix is None:
        matrix = read_features(table, features, found, place)
    cells = pd.DataFrame({role: _clean(table[column], role, place) for role, column in found.items()})
    broken = ~np.isfinite(matrix).all(axis=1)
    if broken.any():
        first = cells[broken].iloc[0]
        raise DataError(
            f"{path}: {int(broken.sum())} embeddings are not finite, the first of plate {first['plate']}, well "
            f"{first['well']}; leave these rows out of the table"
        )
    refuse_zeros(matrix, cells, path)
    return CellTable(str(path), cells, np.ascontiguousarray(matrix, dtype=np.float32))


def _read(path: Path, extra: Sequence[str]) -> tuple[pd.DataFrame, NDArray[np.float32] | None]:
    """The table, and the matrix where the format keeps it apart."""
    suffixes = "".join(path.suffixes[-2:]).lower()
    if suffixes.endswith(".parquet"):
        return pd.read_parquet(path), None
    if suffixes.endswith(".h5ad"):
        return _read_anndata(path)
    if not suffixes.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz", ".txt")):
        raise ConfigError(f"{path}: the table must be .parquet, .csv, .tsv (or .gz of these) or .h5ad")
    as_text = {n.lower() for role in TEXTS for n in PLAIN[role]} | {name.lower() for name in extra}
    return read_text_table(path, as_text), None


def _read_anndata(path: Path) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """`obs` and `X` (dense, or sparse by rows) of an AnnData file."""
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(f"{path}: reading AnnData needs h5py; install it, or write the table as parquet") from error

    def values(node: Any) -> NDArray[Any]:
        if isinstance(node, h5py.Group):  # a categorical column
            return np.asarray(values(node["categories"])[node["codes"][:]])
        array = node[:]
        return (
            np.array([item.decode() if isinstance(item, bytes) else item for item in array], dtype=object)
            if (array.dtype.kind in "OS")
            else np.asarray(array)
        )

    with h5py.File(path) as file:
        obs, x = file["obs"], file["X"]
        order = [str(name) for name in obs.attrs.get("column-order", [n for n in obs if n != "_index"])]
        table = pd.DataFrame({name: values(obs[name]) for name in order})
        if isinstance(x, h5py.Group):
            from scipy.sparse import csr_matrix

            if "csr" not in str(x.attrs.get("encoding-type", "csr")):
                raise DataError(f"{path}: X is sparse by columns; write it dense")
            shape = tuple(int(n) for n in x.attrs["shape"])
            dense = csr_matrix((x["data"][:], x["indices"][:], x["indptr"][:]), shape=shape).toarray()
            return table, np.asarray(dense, dtype=np.float32)
        return table, np.asarray(x[:], dtype=np.float32)


def _find_columns(table: pd.DataFrame, columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """Role -> column; a cell needs site and nucleus, or site, y and x; a well needs nothing more."""
    lower = {str(column).lower(): str(column) for column in reversed(table.columns)}
    found: dict[str, str] = {}
    for role, plain in PLAIN.items():
        if role in columns:
            if columns[role] not in table:
                raise DataError(f"{path}: has no column {columns[role]!r} ({role}); it has {some(list(table.columns))}")
            found[role] = columns[role]
        else:
            named = [lower[name.lower()] for name in plain if name.lower() in lower]
            found |= {role: named[0]} if named else {}
    for role in ("plate", "well"):
        if role not in found:
            raise DataError(
                f"{path}: no column for the {role}; it has {some(list(table.columns))}. Name it as the encoder's "
                f"`{role}`"
            )
    cell = "nucleus" in found or ("y" in found and "x" in found)
    if cell and "site" not in found:
        raise DataError(f"{path}: cells without a column for their site; name it as `site` of the encoder")
    if "site" in found and not cell:
        raise DataError(
            f"{path}: a site but no cell in it; name the columns of the cell's centre as `y` and `x`, or of our label "
            "of its nucleus as `nucleus`. A table of wells has no site"
        )
    if "nucleus" in found and not all(role in found and _is_place(table[found[role]]) for role in ("y", "x")):
        return {role: column for role, column in found.items() if role not in ("y", "x")}
    return found


def _is_place(column: pd.Series) -> bool:
    """Whether a column can be half of a centre, against which labels are checked."""
    return bool(pd.api.types.is_numeric_dtype(column) and column.notna().all())


def _clean(column: pd.Series, role: str, path: Path) -> "pd.Series[Any]":
    """Keys as this project writes them: wells A01, sites and plates text without a float's .0, labels whole numbers."""
    if column.isna().any():
        raise DataError(f"{path}: {int(column.isna().sum())} rows have no {role} (column {column.name}); fill them in")
    if role in ("y", "x", "nucleus"):
        numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
        wrong = numbers.isna() if role != "nucleus" else ~(numbers % 1 == 0) | (numbers < 1)
        if wrong.any():
            what = (
                "a number" if role != "nucleus" else "a label of this run, which are whole numbers from 1 in each site"
            )
            raise DataError(
                f"{path}: {int(wrong.sum())} values of {role} (column {column.name}) such as "
                f"{column[wrong].iloc[0]} are not {what}; correct them, or name another column as `{role}`"
            )
        return numbers if role != "nucleus" else numbers.astype(np.int64)
    text = column.astype(str).str.strip().str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    return text.map(lambda value: well_name(value) or value) if role == "well" else text
