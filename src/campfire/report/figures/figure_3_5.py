"""Figure 3.5: Z' between groups of control wells of the transfer screen, a map per encoder."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from campfire.core.errors import DataError
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.figures.style import GREY, INK, PAGE, PALE, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.render import number

METHODS = {"plain": "Plain Z′", "robust": "Robust Z′"}
_COLUMNS = [
    "encoder",
    "label",
    "method",
    "role",
    "reference",
    "target",
    "zprime",
    "low",
    "high",
    "n_reference",
    "n_target",
]
_MAP = LinearSegmentedColormap.from_list("zprime", ["#B35806", "#F1A340", "#F7F7F7", "#67A9CF", "#053061"])


def prepare(
    pairs: Mapping[str, pd.DataFrame],
    label: Mapping[str, str] | None = None,
    methods: Sequence[str] = ("plain", "robust"),
    role: str = "heldout",
) -> pd.DataFrame:
    """Rows of transfer/{encoder}/zprime.parquet to draw, encoders in the given order.

    role: heldout (plates not trained on, as the paper) or train. Raises DataError when an encoder has no such pair.
    """
    parts = []
    for encoder, table in pairs.items():
        chosen = table[(table["role"] == role) & table["method"].isin(list(methods))]
        if chosen.empty:
            raise DataError(f"transfer/{encoder}/zprime.parquet: no pair of groups on {role} plates; check the sheet")
        parts.append(chosen.assign(encoder=encoder, label=(label or {}).get(encoder, encoder)))
    if not parts:
        raise DataError("Z' maps: no encoder was given")
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def _matrices(rows: pd.DataFrame, groups: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(G, G) of Z', reference in rows, and which of them are of fewer than three wells per side.

    Z' is symmetric (Appendix C), so one direction fills the other.
    """
    values, few = np.full((len(groups), len(groups)), np.nan), np.zeros((len(groups), len(groups)), bool)
    place = {name: i for i, name in enumerate(groups)}
    for row in rows.to_dict("records"):
        i, j = place[row["reference"]], place[row["target"]]
        values[i, j] = row["zprime"]
        few[i, j] = few[j, i] = min(row["n_reference"], row["n_target"]) < MIN_UNITS
        if np.isnan(values[j, i]):
            values[j, i] = row["zprime"]
    np.fill_diagonal(values, np.nan)
    return values, few


def _map(axes: Axes, rows: pd.DataFrame, groups: list[str], norm: Normalize, inches: float) -> None:
    values, few = _matrices(rows, groups)
    # Equal groups have Z' of minus infinity: below any scale, but still a value.
    shown = np.ma.masked_where(np.isnan(values) | few, np.nan_to_num(values, neginf=-1e9))
    axes.set_facecolor(PALE)
    axes.imshow(shown, cmap=_MAP, norm=norm, interpolation="nearest")
    size = min(7.0, 72 * inches / len(groups) / 3.1)  # five characters across a cell
    for i in range(len(groups)):
        for j in range(len(groups)):
            value = values[i, j]
            if np.isnan(value):
                continue
            red, green, blue, _ = _MAP(norm(max(value, norm.vmin or -1.0)))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = "−∞" if np.isneginf(value) else number(value, 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0)
            text, colour = (f"({text})", GREY) if few[i, j] else (text, "white" if dark else INK)
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(np.arange(len(groups) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(groups) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.0)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    slanted = 72 * inches / len(groups) < 31
    axes.set_xticks(range(len(groups)), groups, rotation=90 if slanted else 0)
    axes.set_yticks(range(len(groups)), groups)


@styled
def draw(data: pd.DataFrame, low: float = -1.0) -> Figure:
    """A map per encoder and method (plain, robust), one colour scale from `low` to 1, values in the cells.

    Up to four encoders stand in columns and methods in rows; more encoders stand in rows. Cells below `low` take the
    lowest colour (the arrow of the scale) and keep their value in print; a group against itself is left empty.
    """
    encoders = data.drop_duplicates("encoder").set_index("encoder")["label"].to_dict()
    methods = [method for method in METHODS if (data["method"] == method).any()]
    groups = sorted({*data["reference"], *data["target"]})
    norm = Normalize(low, 1.0)
    across = len(encoders) <= 4
    columns = len(encoders) if across else len(methods)
    lines = len(methods) if across else len(encoders)
    side = min(1.75, (PAGE - 1.35 - 0.12 * columns) / columns)
    figure = new_figure(side * columns + 1.35 + 0.12 * columns, (side + 0.1) * lines + 0.8)
    grid = figure.subplots(lines, columns, squeeze=False)
    for i, method in enumerate(methods):
        for j, (encoder, label) in enumerate(encoders.items()):
            line, column = (i, j) if across else (j, i)
            axes = grid[line, column]
            rows = data[(data["encoder"] == encoder) & (data["method"] == method)]
            _map(axes, rows, groups, norm, side)
            top, beside = (label, METHODS[method]) if across else (METHODS[method], label)
            if line == 0:
                axes.set_title(textwrap.fill(str(top), max(int(side * 11), 8)), pad=5)
            if column == 0:
                axes.set_ylabel(f"{beside}\nReference")
            else:
                axes.set_yticklabels([])
            if line == lines - 1:
                axes.set_xlabel("Target")
            else:
                axes.set_xticklabels([])
    bar = figure.colorbar(
        ScalarMappable(norm, _MAP),
        ax=grid,
        extend="min",
        extendfrac=0.05,
        fraction=0.05,
        shrink=0.9,
        aspect=24,
        pad=0.02,
    )
    bar.ax.set_title("Z′", fontsize=7, pad=4)
    bar.ax.tick_params(length=0)
    bar.ax.axhline(0, color=INK, lw=0.6)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from transfer/{encoder}/zprime.parquet of every encoder."""
    data = prepare(by_folder(files["zprime"]), settings.options.labels)
    return Drawn(draw(data), data)
