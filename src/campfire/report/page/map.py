"""The maps of the page: wells and cells at their positions in the figure `embedding_map`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS, PLATE, SITE, WELL
from campfire.evaluation.profiles.maps import axis_limits
from campfire.report.tables.profiles import REPRESENTATIONS

STEPS = 1000
"""Positions are whole numbers from 0 to this, which keeps the page small."""


def read_map(
    files: Iterable[str | Path], plates: Sequence[str], wells: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """One map per unit (well, cell) and representation: title, unit, wells, x, y (0 to STEPS, y downwards), far, axes.

    wells are row numbers of `wells`; a map of cells also has the site and nucleus of each. Points beyond the axes
    stand on their ends; `far` are their row numbers.
    files: results of the run, among them figures/embedding_map.csv, without which there is no map.
    plates: names of plates; wells: plate (number into `plates`) and well of each row, as `page.data.index` has them.
    """
    path = next((Path(file) for file in files if Path(file).name == "embedding_map.csv"), None)
    if path is None or not wells:
        return []
    rows = {(plates[p], well): k for k, (p, well) in enumerate(zip(wells["plate"], wells["well"], strict=True))}
    table = pd.read_csv(path, dtype={PLATE: "str", WELL: "str", SITE: "str", NUCLEUS: "Int64"})
    table["well"] = [rows.get(keys, -1) for keys in zip(table[PLATE], table[WELL], strict=True)]
    maps = []
    for (unit, kind), own in table[table["well"] >= 0].groupby(["unit", "representation"], sort=False):
        shares = own[["share1", "share2"]].iloc[0]
        found = {
            "title": f"{own['encoder'].iloc[0]}: {unit}s, {REPRESENTATIONS.get(str(kind), str(kind))}",
            "unit": unit,
            "wells": own["well"].tolist(),
            "x": _scaled(own["pc1"]),
            "y": [STEPS - value for value in _scaled(own["pc2"])],
            "far": np.flatnonzero(_is_far(own["pc1"]) | _is_far(own["pc2"])).tolist(),
            "axes": [f"PC {k} ({100 * share:.0f} %)" for k, share in enumerate(shares, start=1)],
        }
        if unit == "cell":
            found |= {"site": own[SITE].tolist(), "nucleus": own[NUCLEUS].tolist()}
        maps.append(found)
    return maps


def _is_far(values: pd.Series) -> NDArray[np.bool_]:
    """(N,) whether a value lies beyond the ends of its axis."""
    x = values.to_numpy(dtype=float)
    low, high = axis_limits(x)
    return np.asarray((x < low) | (x > high))


def _scaled(values: pd.Series) -> list[int]:
    """Values from 0 to STEPS between the ends of their axis, those beyond on the ends."""
    x = values.to_numpy(dtype=float)
    low, high = axis_limits(x)
    return [int(value) for value in np.rint(STEPS * np.clip((x - low) / (high - low), 0, 1))]
