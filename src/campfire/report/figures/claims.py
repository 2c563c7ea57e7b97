"""The claims at a glance: paired differences of accuracy with their intervals, against zero."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from campfire.core.errors import DataError
from campfire.report.figures.style import BLUE, GREY, INK, PAGE, SPLIT_COLOURS, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings, read_csv
from campfire.report.tables.render import interval, number
from campfire.report.tables.verdict import leading

_SHORT = {
    "test": "ID compound, ID plate",
    "test_ood_plate": "ID compound, OOD plate",
    "test_ood_compound": "OOD compound, ID plate",
    "test_ood_both": "OOD compound, OOD plate",
    "mean": "Mean of the four",
}


def prepare(differences: pd.DataFrame) -> pd.DataFrame:
    """The rows of tables/differences.csv to draw (all of them). Raises DataError when there are none.

    low and high are the bounds behind the verdicts: over plates where there are three, else over wells (`over`).
    """
    if differences.empty:
        raise DataError("tables/differences.csv: holds no comparison")
    columns = ["claim", "statement", "first", "second", "protocol", "split", "difference"]
    bounds = [leading(record) for record in differences.to_dict("records")]
    table = pd.DataFrame(bounds, columns=["low", "high", "over"], index=differences.index)
    counts = differences[["n_wells", "n_plates", "holds"]]
    return pd.concat([differences[columns], table, counts], axis=1).reset_index(drop=True)


@styled
def draw(data: pd.DataFrame) -> Figure:
    """The figure, one block per comparison: quadrants and their mean (diamond), with intervals, dotted if over wells.

    Bold numbers differ over plates after adjustment for their number. `data` is from `prepare`.
    """
    blocks = [rows.reset_index(drop=True) for _, rows in data.groupby("claim", sort=False)]
    lines = sum(len(rows) for rows in blocks) + 0.8 * len(blocks)
    figure = new_figure(PAGE, 0.135 * lines + 0.55)
    axes = figure.add_subplot()
    beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    beside["annotation_clip"] = False
    y, ticks, names = 0.0, [], []
    for rows in blocks:
        top = y
        for record in rows.to_dict("records"):
            mean = record["split"] == "mean"
            colour = INK if mean else SPLIT_COLOURS.get(record["split"], BLUE)
            style = ":" if record["over"] == "wells" else "-"
            axes.plot([record["low"], record["high"]], [y, y], style, color=colour, lw=2.0 if mean else 1.2, zorder=2)
            axes.plot(record["difference"], y, "D" if mean else "o", color=colour, ms=4 if mean else 3.4, zorder=3)
            text = f"{number(record['difference'], signed=True)} {interval(record['low'], record['high'], signed=True)}"
            weight = "bold" if record["holds"] else "normal"
            axes.annotate(text, (1, y), xytext=(4, 0), fontsize=5.8, fontweight=weight, **beside)
            ticks.append(y)
            names.append(_SHORT.get(record["split"], record["split"]))
            y += 1
        statement = textwrap.fill(str(rows["statement"].iloc[0]), 30)
        middle = (0, (top + y - 1) / 2)
        axes.annotate(statement, middle, xytext=(-100, 0), ha="right", fontsize=6.5, fontweight="bold", **beside)
        y += 0.8
    axes.axvline(0, color=GREY, lw=0.8, zorder=1)
    axes.set_yticks(ticks, names, fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(y - 1.2, -0.8)
    drawn = data[["low", "high", "difference"]].to_numpy()
    reach = float(np.nanmax(np.abs(drawn)))
    axes.set_xlim(min(0.0, float(np.nanmin(drawn))) - 0.06 * reach, max(0.0, float(np.nanmax(drawn))) + 0.06 * reach)
    axes.set_xlabel("Difference of accuracy (first minus second)")
    axes.spines["left"].set_visible(False)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the table of differences."""
    data = prepare(read_csv(files, "differences"))
    return Drawn(draw(data), data)
