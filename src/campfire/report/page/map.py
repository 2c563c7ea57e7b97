"""The map of wells on the page: positions from the figure `embedding_map`, for wells that the page lists."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.columns import PLATE, WELL
from campfire.report.tables.profiles import REPRESENTATIONS

STEPS = 1000
"""Positions are whole numbers from 0 to this, which keeps the page small."""


def read_map(
    files: Iterable[str | Path], plates: Sequence[str], wells: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """One map per representation: title, wells (row numbers of `wells`), x and y (0 to STEPS, y downwards), axes.

    files: results of the run, among them figures/embedding_map.csv, without which there is no map.
    plates: names of plates; wells: plate (number into `plates`) and well of each row, as `page.data.index` has them.
    """
    path = next((Path(file) for file in files if Path(file).name == "embedding_map.csv"), None)
    if path is None or not wells:
        return []
    rows = {(plates[p], well): k for k, (p, well) in enumerate(zip(wells["plate"], wells["well"], strict=True))}
    table = pd.read_csv(path, dtype={PLATE: str, WELL: str})
    table["row"] = [rows.get(keys, -1) for keys in zip(table[PLATE], table[WELL], strict=True)]
    maps = []
    for kind, own in table[table["row"] >= 0].groupby("representation", sort=False):
        shares = own[["share1", "share2"]].iloc[0]
        maps.append(
            {
                "title": f"{own['encoder'].iloc[0]}: {REPRESENTATIONS.get(str(kind), str(kind))}",
                "wells": own["row"].tolist(),
                "x": _scaled(own["pc1"]),
                "y": [STEPS - value for value in _scaled(own["pc2"])],
                "axes": [f"PC {k} ({100 * share:.0f} %)" for k, share in enumerate(shares, start=1)],
            }
        )
    return maps


def _scaled(values: pd.Series) -> list[int]:
    """Values from 0 to STEPS, the smallest and largest at the ends; all in the middle where they are equal."""
    x = values.to_numpy(dtype=float)
    span = x.max() - x.min()
    scaled = (x - x.min()) / span if span > 0 else np.full(len(x), 0.5)
    return [int(value) for value in np.rint(STEPS * scaled)]
