"""Wells and a sample of cells, raw and sphered, for two-dimensional maps of embeddings, and their components."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import BATCH, CELL_KEYS, COMPOUND, PLATE, WELL_KEYS
from campfire.core.errors import DataError
from campfire.core.random import keyed_generator
from campfire.evaluation.profiles.normalise import SHRINKAGE, centre_and_spread, whitening
from campfire.evaluation.well_means import well_means

Floats = NDArray[np.float32]
Unit = Literal["well", "cell"]
Points = tuple[pd.DataFrame, Floats]
"""Wells or cells (keys, compound, batch, split) and their embeddings (N, D)."""

MOST_CELLS = 1500
"""Cells on a map, the same share of it for every part of the split."""
SEED = 7
WITHIN = (2.5, 97.5)
"""Percentiles of a component between which the points fill half of an axis."""
_ROLES = [COMPOUND, BATCH, "split"]


@dataclass(frozen=True)
class _Plate:
    """Summary of a plate: its wells and some of its cells, raw, and how its controls scale them."""

    wells: Points
    cells: Points
    """With `rank`, a random number: the cells with the lowest ones are drawn."""
    controls: NDArray[np.float64]
    """(M, D) scaled cells of the negative control; M is 0 if it has fewer than two."""
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]

    def scaled(self, points: Points) -> Floats:
        """(N, D) centred and scaled by the controls."""
        return ((points[1] - self.centre) / self.spread).astype(np.float32)


def _plate(keys: pd.DataFrame, embeddings: Floats, wells: pd.DataFrame, negative: str, most: int) -> _Plate | None:
    """Summary of one plate, scaled by its negative control as `normalise` does; None without a known well."""
    cells = keys[CELL_KEYS].merge(wells[[*WELL_KEYS, *_ROLES]], on=WELL_KEYS, how="left", validate="many_to_one")
    known = cells[COMPOUND].notna().to_numpy()
    if not known.any():
        return None
    cells, x = cells[known].reset_index(drop=True), embeddings[known]
    table, means = well_means(cells, x)
    table = table.merge(wells[[*WELL_KEYS, *_ROLES]], on=WELL_KEYS, how="left", validate="one_to_one")
    ranked = _ranked(cells, most)
    reference = x[(cells[COMPOUND] == negative).to_numpy()].astype(np.float64)
    if len(reference) < 2:
        reference = np.empty((0, x.shape[1]))
        centre, spread = np.zeros(x.shape[1]), np.ones(x.shape[1])
    else:
        centre, spread = centre_and_spread(reference)
    chosen = (ranked.reset_index(drop=True), x[ranked.index])
    return _Plate((table, means), chosen, (reference - centre) / spread, centre, spread)


def _ranked(cells: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` random cells of each part of the split, with their rank; the draw depends on keys only."""
    ordered = cells.sort_values(CELL_KEYS)
    generator = keyed_generator(SEED, "embedding_map", str(cells[PLATE].iloc[0]))
    ranked = ordered.assign(rank=generator.random(len(ordered))).sort_values("rank")
    return ranked.groupby("split", sort=False).head(most)


def map_points(
    plates: Iterable[tuple[pd.DataFrame, Floats]], wells: pd.DataFrame, negative: str, most_cells: int = MOST_CELLS
) -> dict[tuple[Unit, str], Points]:
    """(unit, representation) -> wells or cells with compound, batch and split, and their embeddings (N, D).

    Units are well (mean embeddings) and cell (a random sample, as many of each part of the split, at most `most_cells`
    together; none if it is 0); representations are raw and sphered, for both units by the same controls and matrix.
    plates: keys (N,) and embeddings (N, D) of the cells, plate by plate, so that only one is in memory: sphering is
    linear, so a well's mean can be sphered like its cells. wells: split/wells.parquet; negative: the negative control.
    If a plate has fewer than two of its cells, only `raw` is returned. DataError if no cell is in a listed well.
    """
    found = [plate for keys, x in plates if (plate := _plate(keys, x, wells, negative, most_cells))]
    if not found:
        raise DataError("embeddings: no cell lies in a well of split/wells.parquet")
    kept = _sample([plate.cells[0] for plate in found], most_cells)
    tables: dict[Unit, pd.DataFrame] = {"well": pd.concat([plate.wells[0] for plate in found], ignore_index=True)}
    raw: dict[Unit, Floats] = {"well": np.concatenate([plate.wells[1] for plate in found])}
    scaled: dict[Unit, Floats] = {"well": np.concatenate([plate.scaled(plate.wells) for plate in found])}
    if most_cells:
        cells = pd.concat([plate.cells[0] for plate in found], ignore_index=True)
        tables["cell"] = cells.loc[kept].drop(columns="rank").reset_index(drop=True)
        raw["cell"] = np.concatenate([plate.cells[1] for plate in found])[kept]
        scaled["cell"] = np.concatenate([plate.scaled(plate.cells) for plate in found])[kept]
    controls = [plate.controls for plate in found]
    matrix = whitening(np.concatenate(controls), SHRINKAGE) if all(map(len, controls)) else None
    points: dict[tuple[Unit, str], Points] = {}
    for unit, table in tables.items():
        points[unit, "raw"] = table, raw[unit]
        if matrix is not None:
            points[unit, "sphered"] = table, (scaled[unit] @ matrix).astype(np.float32)
    return points


def _sample(tables: list[pd.DataFrame], most: int) -> NDArray[np.intp]:
    """Row numbers, over all tables one below the other, of the cells of the map, lowest ranks first."""
    ranks = pd.concat([table[["split", "rank"]] for table in tables], ignore_index=True).sort_values("rank")
    each = most // max(1, ranks["split"].nunique())
    return ranks.groupby("split", sort=False).head(each).sort_values("rank").index.to_numpy(np.intp)


def principal_components(x: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, D) -> scores on the first two components (N, 2), shares of the variance (2,); signs are fixed."""
    centred = x - x.mean(axis=0, dtype=np.float64)
    left, scale, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    scores = (left * scale * signs)[:, :2]
    if scores.shape[1] < 2:
        scores = np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))
    share = scale**2 / max(float((scale**2).sum()), 1e-12)
    return scores, np.pad(share, (0, 2))[:2]


def axis_limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Ends of an axis that a few far points do not squeeze: `WITHIN`, and half of that span beyond on either side.

    Never wider than the points themselves need; (-1, 1) around points that all coincide.
    """
    low, high = np.percentile(values, WITHIN)
    beyond = (high - low) / 2
    low, high = max(low - beyond, values.min()), min(high + beyond, values.max())
    return (float(low), float(high)) if high > low else (float(values.mean()) - 1, float(values.mean()) + 1)
