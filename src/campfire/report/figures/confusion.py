"""Which compounds are confused: confusion matrices of the linear probes, ID and OOD plates side by side."""

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from campfire.core.columns import TASK_QUADRANTS
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.report.figures.style import INK, PAGE, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings

TITLES = {"control": "control compounds", "heldout": "held-out compounds"}


def prepare(predictions: pd.DataFrame, protocol: str, task: str = "control") -> pd.DataFrame:
    """Share of the cells of a compound (`truth`) classified as `predicted`, over all fits, for every pair.

    predictions: probes/{encoder}/{channels}/predictions.parquet. Columns: protocol, task, split, truth, predicted,
    cells (summed over fits), share (of the truth's cells; sums to 1 over predicted).
    Raises DataError when nothing was scored.
    """
    rows = predictions[(predictions["protocol"] == protocol) & (predictions["task"] == task)]
    if rows.empty:
        raise DataError(
            f"predictions.parquet: no {task} predictions under protocol {protocol}; run the probes under it"
        )
    compounds = sorted({*rows["truth"].astype(str), *rows["predicted"].astype(str)})
    parts = []
    for split in TASK_QUADRANTS[task]:
        chosen = rows[rows["split"] == split]
        if chosen.empty:
            continue
        counts = pd.crosstab(chosen["truth"].astype(str), chosen["predicted"].astype(str))
        counts = counts.reindex(index=compounds, columns=compounds, fill_value=0)
        share = counts.div(counts.sum(axis=1).replace(0, np.nan), axis=0)
        long = pd.DataFrame(
            {
                "truth": np.repeat(compounds, len(compounds)),
                "predicted": np.tile(compounds, len(compounds)),
                "cells": counts.to_numpy().ravel(),
                "share": share.to_numpy().ravel(),
            }
        )
        parts.append(long.assign(task=task, split=split))
    return pd.concat(parts, ignore_index=True).assign(protocol=protocol)[
        ["protocol", "task", "split", "truth", "predicted", "cells", "share"]
    ]


def _labels(data: pd.DataFrame, compounds: list[str]) -> list[str]:
    """Printed names, where the data have them."""
    if "truth_label" not in data:
        return compounds
    names = data.drop_duplicates("truth").set_index("truth")["truth_label"]
    return [str(names[compound]) for compound in compounds]


@styled
def draw(data: pd.DataFrame) -> Figure:
    """One matrix per quadrant: true compound in rows, predicted in columns, one scale; `data` is from `prepare`."""
    task = str(data["task"].iloc[0])
    splits = [split for split in TASK_QUADRANTS[task] if (data["split"] == split).any()]
    compounds = sorted(set(data["truth"]))
    labels = _labels(data, compounds)
    few = len(compounds) <= 16
    figure = new_figure(PAGE if len(splits) > 1 else 4.2, 3.45 if few else 3.3)
    norm = Normalize(0, max(float(data["share"].max()), 1e-6))
    grid = np.ravel(figure.subplots(1, len(splits), squeeze=False))
    for i, (axes, split) in enumerate(zip(grid, splits, strict=True)):
        rows = data[data["split"] == split]
        matrix = rows.pivot_table("share", "truth", "predicted", dropna=False).reindex(compounds)[compounds].to_numpy()
        axes.imshow(matrix, cmap="cividis", norm=norm, interpolation="nearest")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        plates = "OOD plates" if split.endswith(("plate", "both")) else "ID plates"
        axes.set_title(plates, pad=5)
        axes.set_xlabel(f"Predicted ({TITLES[task]})")
        if i == 0:
            axes.set_ylabel("True")
        if few:
            axes.set_xticks(range(len(compounds)), labels, rotation=90, fontsize=6)
            axes.set_yticks(range(len(compounds)), labels if i == 0 else [], fontsize=6)
            for y, x in np.ndindex(matrix.shape):
                if np.isfinite(matrix[y, x]):
                    colour = "white" if norm(matrix[y, x]) < 0.55 else INK
                    axes.text(x, y, f"{matrix[y, x]:.2f}", ha="center", va="center", fontsize=5, color=colour)
        else:
            axes.set_xticks([])
            axes.set_yticks([])
    bar = figure.colorbar(
        ScalarMappable(norm, "cividis"), ax=list(grid), fraction=0.04, shrink=0.75, aspect=22, pad=0.02
    )
    bar.set_label("Share of the true compound's cells")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the predictions of the first encoder on the leading channel set."""
    data = prepare(read_table(files["predictions"][0]), settings.options.protocol)
    for column in ("truth", "predicted"):
        data[f"{column}_label"] = data[column].map(settings.options.compound_name)
    return Drawn(draw(data), data)
