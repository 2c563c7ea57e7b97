"""Profiles: replicate retrieval across plates, and shares of the variance of well means."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.report.figures.figure_2_1 import NAMES
from campfire.report.figures.style import (
    BLUE,
    INK,
    ORANGE,
    PAGE,
    SPLIT_COLOURS,
    VERMILION,
    Drawn,
    new_figure,
    panel_letter,
    styled,
)
from campfire.report.tables.inputs import Files, Settings, read_csv
from campfire.report.tables.profiles import REPRESENTATIONS

FACTORS = {"compound": BLUE, "batch": VERMILION, "plate": ORANGE}
LABEL_WIDTH = 12
"""Characters of a line of an encoder's name; three rows of the figure hold no more."""
_COLUMNS = ["encoder", "label", "protocol", "task", "split", "representation", "quantity", "value", "low", "high"]


def prepare(profiles: pd.DataFrame, variance: pd.DataFrame, task: str = "heldout") -> pd.DataFrame:
    """The data to draw in long form, from tables/profiles.csv and tables/variance.csv.

    quantity is `map_normalized` (a row per quadrant) or `share_<factor>` (of the compounds of `task`). Columns:
    encoder, label, protocol, task, split, representation, quantity, value, low, high. Raises DataError when empty.
    """
    retrieval = profiles[profiles["metric"] == "map_normalized"].rename(columns={"metric": "quantity"})
    shares = variance[(variance["task"] == task) & variance["factor"].isin(list(FACTORS))].rename(
        columns={"share": "value"}
    )
    shares = shares.assign(quantity="share_" + shares["factor"], split="")
    if retrieval.empty and shares.empty:
        raise DataError("tables/profiles.csv and tables/variance.csv: no retrieval and no shares of variance to draw")
    parts = [part[_COLUMNS] for part in (retrieval, shares) if len(part)]
    return pd.concat(parts, ignore_index=True).fillna({"split": ""})


def _rows(data: pd.DataFrame) -> tuple[list[tuple[str, str]], list[str], NDArray[np.float64]]:
    """Encoder and representation of each line, its label and vertical position; encoders are separated."""
    pairs = list(data[["label", "representation"]].drop_duplicates().itertuples(index=False, name=None))
    labels = list(dict.fromkeys(label for label, _ in pairs))
    pairs.sort(key=lambda pair: labels.index(pair[0]))
    positions, y = [], 0.0
    for i, (label, _) in enumerate(pairs):
        y += 0.0 if i == 0 else (1.0 if label == pairs[i - 1][0] else 1.5)
        positions.append(y)
    return pairs, [REPRESENTATIONS.get(kind, kind) for _, kind in pairs], np.array(positions)


def _retrieval(axes: Axes, rows: pd.DataFrame, pairs: list[tuple[str, str]], positions: NDArray[np.float64]) -> None:
    splits = [split for split in QUADRANTS if (rows["split"] == split).any()]
    for number, split in enumerate(splits):
        chosen = rows[rows["split"] == split].set_index(["label", "representation"]).reindex(pairs)
        y = positions + (number - (len(splits) - 1) / 2) * 0.2
        errors = np.abs(chosen[["low", "high"]].to_numpy().T - chosen["value"].to_numpy())
        axes.errorbar(
            chosen["value"], y, xerr=errors, fmt="D" if split.endswith(("plate", "both")) else "o", ms=3,
            color=SPLIT_COLOURS[split], elinewidth=0.9, zorder=3, label=NAMES[split].removeprefix("Test: "),
        )  # fmt: skip
    axes.axvline(0, color=INK, lw=0.8, ls=(0, (4, 2)), zorder=1)
    axes.set_xlabel("Replicate retrieval (mAP above chance)")


def _shares(axes: Axes, rows: pd.DataFrame, pairs: list[tuple[str, str]], positions: NDArray[np.float64]) -> None:
    left = np.zeros(len(pairs))
    axes.barh(positions, 1.0, 0.62, color="#EDEDED", label="Well")
    for factor, colour in FACTORS.items():
        chosen = rows[rows["quantity"] == f"share_{factor}"].set_index(["label", "representation"])["value"]
        if chosen.empty:
            continue
        values = np.clip(chosen.reindex(pairs).to_numpy(), 0, None)  # an estimate may fall below zero
        axes.barh(positions, values, 0.62, left=left, color=colour, label=factor.capitalize())
        left = left + np.nan_to_num(values)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Share of the variance of well means")


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Left: retrieval by quadrant with intervals; right: shares of variance, stacked. `data` is that of `prepare`."""
    data = data.fillna({"split": ""})
    pairs, names, positions = _rows(data)
    parts = [
        (kind, rows)
        for kind, rows in (
            ("retrieval", data[data["quantity"] == "map_normalized"]),
            ("shares", data[data["quantity"].str.startswith("share_")]),
        )
        if len(rows)
    ]
    figure = new_figure(PAGE, 1.1 + 0.23 * float(positions[-1] + 1))
    grid = np.ravel(figure.subplots(1, len(parts), squeeze=False))
    for letter, axes, (kind, rows) in zip("ab"[: len(parts)], grid, parts, strict=True):
        (_retrieval if kind == "retrieval" else _shares)(axes, rows, pairs, positions)
        axes.set_ylim(positions[-1] + 0.6, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(positions, names if axes is grid[0] else [])
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2 if kind == "retrieval" else 4, handlelength=1.2,
            columnspacing=1.1, handletextpad=0.5,
        )  # fmt: skip
        panel_letter(axes, letter, rise=12)
    for label in dict.fromkeys(pair[0] for pair in pairs):
        own = [y for (name, _), y in zip(pairs, positions, strict=True) if name == label]
        grid[0].annotate(
            fill(label, LABEL_WIDTH), (0, float(np.mean(own))), xycoords=("axes fraction", "data"), xytext=(-44, 0),
            va="center", ha="center", textcoords="offset points", rotation=90, fontweight="bold",
            annotation_clip=False, linespacing=1.0,
        )  # fmt: skip
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the tables of profiles and of shares of variance."""
    data = prepare(read_csv(files, "profiles_table"), read_csv(files, "variance"))
    return Drawn(draw(data), data)
