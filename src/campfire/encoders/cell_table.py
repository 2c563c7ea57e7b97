"""Embeddings made elsewhere, joined to this run's cells."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.digests import file_sha256
from campfire.core.errors import DataError
from campfire.encoders.table_reader import CellTable

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

FEWEST = 20
"""Cells of a plate from which on a match is tested for chance."""
CHANCE = 0.2
"""Share of centres that must agree; with a tolerance of 8 px some agree in any two fields of nuclei."""
ALIKE = 0.9
"""Correlation of places of the same nuclei; the centres of two segmentations differ by some pixels."""


@dataclass(frozen=True)
class Matching:
    """How a plate's cells were matched to a table."""

    plate: str
    joined_by: str
    """well, nucleus or centre."""
    cells: int
    matched: int
    missing: int
    """Cells of this run that the table lacks; they are left out of every evaluation of this encoder."""
    unused: int
    """Rows of the table's plate that belong to no cell of this run's sample."""
    distance: float
    """Largest distance of a matched centre, px; 0 where cells are joined by key."""

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class TableEncoder:
    """A table used as an encoder: it has embeddings of cells and cannot embed tiles."""

    normalisation = "none"
    device = "cpu"

    def __init__(self, name: str, table: CellTable, tolerance: float, scale: float = 1.0) -> None:
        self.name, self.table, self.tolerance, self.scale = name, table, tolerance, scale
        text = f"table 1 {file_sha256(table.path)} {tolerance} {scale} {list(table.cells)} {table.vectors.shape}"
        self.digest = hashlib.sha256(text.encode() + table.vectors.tobytes()).hexdigest()
        self._plates = table.cells.groupby("plate").indices

    def dim(self, channels: Sequence[str]) -> int:
        """Numbers in a row of the table, whatever the channels."""
        return int(self.table.vectors.shape[1])

    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """DataError: a table embeds no tiles; see `embed_cells`."""
        raise DataError(f"encoder {self.name}: {self.table.path} holds embeddings of cells and cannot embed tiles")

    def embed_cells(self, cells: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.float32], list[list[Any]], Matching]:
        """Keys and embeddings of one plate's cells in the table, in their order; and the missing cells.

        The latter as [well, site, nucleus], then how many matched.

        cells: the key columns, and `y`, `x` (px) where the table identifies cells by their centre. DataError with an
        example from each side where none matches.
        """
        keys = cells[names.CELL_KEYS].reset_index(drop=True)
        plate = str(keys[names.PLATE].iloc[0]) if len(keys) else ""
        rows = self._plates.get(plate, np.empty(0, dtype=np.intp))
        if len(keys) and not len(rows):
            raise DataError(
                f"{self.table.path}: has no rows of plate {plate}; its plates are such as "
                f"{', '.join(map(str, list(self._plates)[:3]))}. Correct the names there, or name its column as the "
                "encoder's `plate`"
            )
        own = self.table.cells.iloc[rows].reset_index(drop=True)
        if self.table.level != "well":
            self._refuse_sites_from_zero(keys, own)
        if self.table.level == "centre":
            found, distance = self._by_centre(cells.reset_index(drop=True), own)
        else:
            found, distance = self._by_key(keys, own), 0.0
        there = found >= 0
        if self.table.level == "centre" and 2 * there.sum() < len(keys):
            self._refuse_swapped_axes(cells.reset_index(drop=True), own, int(there.sum()))
        if len(keys) and not there.any():
            raise DataError(self._mismatch(keys, own, plate))
        if self.table.level == "centre":
            self._refuse_chance(keys, own, int(there.sum()))
        elif self.table.level == "nucleus" and {"y", "x"} <= set(own) & set(cells):
            self._refuse_other_labels(cells.reset_index(drop=True)[there], own.iloc[found[there]])
        matching = Matching(
            plate,
            self.table.level,
            len(keys),
            int(there.sum()),
            int((~there).sum()),
            len(own) - len(np.unique(found[there])),
            float(distance),
        )
        log.info(
            "plate %s: %d of %d cells found by %s, %d missing, %d rows of the table unused",
            *(plate, matching.matched, matching.cells, matching.joined_by, matching.missing, matching.unused),
        )
        if matching.missing > 0.2 * matching.cells:
            log.warning(
                "plate %s: the table lacks a fifth of its cells or more; see that both were segmented alike", plate
            )
        missing = keys.loc[~there, names.CELL_KEYS[1:]].astype({names.NUCLEUS: object}).to_numpy().tolist()
        return keys[there].reset_index(drop=True), self.table.vectors[rows[found[there]]], missing, matching

    def _by_key(self, keys: pd.DataFrame, own: pd.DataFrame) -> NDArray[np.intp]:
        """Row of the plate's part of the table for each cell, -1 for none."""
        wanted: list[pd.Series[Any]] = [keys[names.WELL].astype(str)]
        given: list[pd.Series[Any]] = [own["well"]]
        if self.table.level == "nucleus":
            wanted += [_site(keys[names.SITE]), keys[names.NUCLEUS].astype(np.int64)]
            given += [_site(own["site"]), own["nucleus"]]
        index = pd.MultiIndex.from_arrays(given)
        if index.has_duplicates:
            raise DataError(
                f"{self.table.path}: plate {own['plate'].iloc[0]}, {self.table.level} "
                f"{'/'.join(map(str, index[index.duplicated()][0]))} has several rows; leave one"
            )
        return index.get_indexer(pd.MultiIndex.from_arrays(wanted))

    def _by_centre(self, cells: pd.DataFrame, own: pd.DataFrame) -> tuple[NDArray[np.intp], float]:
        """Nearest row within the tolerance in the same site; if two cells share a nearest row, the nearer gets it."""
        from scipy.spatial import cKDTree

        found = np.full(len(cells), -1, dtype=np.intp)
        largest = 0.0
        sites = own.groupby(["well", _site(own["site"])]).indices
        for place, members in cells.groupby([cells[names.WELL].astype(str), _site(cells[names.SITE])]).indices.items():
            rows = sites.get(place)
            if rows is None:
                continue
            tree = cKDTree(own.iloc[rows][["y", "x"]].to_numpy() * self.scale)
            centres = cells.iloc[members][["y", "x"]].to_numpy(dtype=np.float64)
            distance, nearest = tree.query(centres, distance_upper_bound=self.tolerance)
            taken: set[int] = set()
            for number in np.argsort(distance, kind="stable"):
                if np.isfinite(distance[number]) and nearest[number] not in taken:
                    taken.add(int(nearest[number]))
                    found[members[number]] = rows[nearest[number]]
                    largest = max(largest, float(distance[number]))
        return found, largest

    def _refuse_swapped_axes(self, cells: pd.DataFrame, own: pd.DataFrame, matched: int) -> None:
        """DataError where most cells are found once y and x change places: those found by chance are other cells."""
        swapped, _ = self._by_centre(cells, own.rename(columns={"y": "x", "x": "y"}))
        found = int((swapped >= 0).sum())
        if 2 * found > len(cells) and found > 2 * matched:
            raise DataError(
                f"{self.table.path}: {matched} of {len(cells)} cells of plate {own['plate'].iloc[0]} are found by "
                f"their centres, but {found} with y and x exchanged; exchange the encoder's `y` and `x`"
            )

    def _refuse_sites_from_zero(self, keys: pd.DataFrame, own: pd.DataFrame) -> None:
        """DataError where the table has a site 0 of a plate and this run has none: its sites are other sites."""
        if (_site(own["site"]) == "0").any() and not (_site(keys[names.SITE]) == "0").any() and len(keys):
            raise DataError(
                f"{self.table.path}: plate {own['plate'].iloc[0]} has a site 0, and this run's sites begin at "
                f"{min(_site(keys[names.SITE]), key=_in_order)}; number the table's sites as this run does"
            )

    def _refuse_chance(self, keys: pd.DataFrame, own: pd.DataFrame, matched: int) -> None:
        """DataError where so few centres agree in the sites that both have that they may do so by chance."""
        ours = pd.MultiIndex.from_arrays([keys[names.WELL].astype(str), _site(keys[names.SITE])])
        theirs = pd.MultiIndex.from_arrays([own["well"], _site(own["site"])])
        fewer = min(int(ours.isin(theirs).sum()), int(theirs.isin(ours).sum()))
        if fewer >= FEWEST and matched < CHANCE * fewer:
            reach = ", ".join(f"{axis} {own[axis].min():.0f} to {own[axis].max():.0f}" for axis in ("y", "x"))
            raise DataError(
                f"{self.table.path}: only {matched} of {fewer} cells of plate {own['plate'].iloc[0]} in the sites that "
                f"it has lie within {self.tolerance:g} px of a centre, as by chance; its centres are {reach}. "
                "Set `scale` if they are not in pixels of this run, and see that both number the sites alike"
            )

    def _refuse_other_labels(self, cells: pd.DataFrame, own: pd.DataFrame) -> None:
        """DataError where cells of one label lie elsewhere in the table: its labels are of another segmentation.

        Places are compared within sites by correlation, so that neither unit nor origin of the table's matter.
        """
        if len(cells) < FEWEST:
            return
        site = [cells[names.WELL].astype(str), cells[names.SITE].astype(str)]
        ours, theirs = cells[["y", "x"]], own[["y", "x"]].set_axis(cells.index)
        ours, theirs = (part - part.groupby(site).transform("mean") for part in (ours, theirs))
        straight = [abs(ours[a].corr(theirs[b])) for a, b in (("y", "y"), ("x", "x"))]
        crossed = [abs(ours[a].corr(theirs[b])) for a, b in (("y", "x"), ("x", "y"))]
        if max(min(straight), min(crossed)) < ALIKE:
            raise DataError(
                f"{self.table.path}: nuclei of one label lie elsewhere in it (plate {own['plate'].iloc[0]}: "
                f"correlation {straight[0]:.2f} in y, {straight[1]:.2f} in x within sites); its labels are of another "
                "segmentation; rename the column of labels, and cells are found by `y` and `x`"
            )

    def _mismatch(self, keys: pd.DataFrame, own: pd.DataFrame, plate: str) -> str:
        """Why nothing matched, with a key of each side."""
        used = {"well": 1, "nucleus": 3}.get(self.table.level, 2)
        ours = ", ".join(map(str, keys[names.CELL_KEYS[1 : 1 + used]].iloc[0]))
        theirs = ", ".join(map(str, own[["well", "site", "nucleus"][:used]].iloc[0]))
        text = f"{self.table.path}: no cell of plate {plate} is in it; ours are such as ({ours}), its rows ({theirs})"
        if self.table.level == "centre":
            return f"{text}, and no centre lies within {self.tolerance:g} px; set `tolerance`, or `scale` to our pixels"
        return f"{text}; correct the columns that the encoder names"


def _in_order(site: str) -> tuple[int, str]:
    return len(site), site


def _site(column: pd.Series[Any]) -> pd.Series[Any]:
    """Sites as text without leading zeros, as they are compared."""
    return column.astype(str).str.strip().str.lstrip("0").replace("", "0")
