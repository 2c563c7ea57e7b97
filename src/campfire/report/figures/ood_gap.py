"""Accuracy on ID and on OOD plates, and the gap between them, for every encoder."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from campfire.core.columns import TASK_QUADRANTS
from campfire.core.errors import DataError
from campfire.report.figures.style import GREY, INK, PAGE, SPLIT_COLOURS, Drawn, new_figure, panel_letter, styled
from campfire.report.tables.inputs import Files, Settings, read_csv
from campfire.report.tables.render import interval, number
from campfire.report.tables.verdict import leading


def prepare(gaps: pd.DataFrame, channels: str, protocol: str) -> pd.DataFrame:
    """The rows of tables/gaps.csv for one channel set and protocol, in the order of the table.

    Raises DataError when there are none.
    """
    rows = gaps[(gaps["channels"] == channels) & (gaps["protocol"] == protocol)]
    if rows.empty:
        raise DataError(f"tables/gaps.csv: no encoder was scored on channels {channels} under protocol {protocol}")
    return rows.reset_index(drop=True)


def _panel(axes: Axes, rows: pd.DataFrame, splits: tuple[str, str]) -> None:
    y = np.arange(len(rows))
    for column, split, name, shape, shift in zip(
        ("id", "ood"), splits, ("ID plates", "OOD plates"), "oD", (-0.14, 0.14), strict=True
    ):
        errors = np.abs(rows[[f"{column}_low", f"{column}_high"]].to_numpy().T - rows[column].to_numpy())
        axes.errorbar(
            rows[column], y + shift, xerr=errors, fmt=shape, ms=4.2 if shape == "o" else 3.6,
            color=SPLIT_COLOURS[split], ecolor=SPLIT_COLOURS[split], elinewidth=1.1, zorder=3, label=name,
        )  # fmt: skip
    chance, classes = float(rows["chance"].iloc[0]), int(rows["n_classes"].iloc[0])
    axes.axvline(chance, color=INK, lw=0.8, ls=(0, (4, 2)), zorder=0, label=f"Chance (1/{classes})")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, float(rows[["id_high", "ood_high", "id", "ood"]].max().max()) * 1.06)
    balanced = rows["metric"].eq("balanced_accuracy").any()
    axes.set_xlabel(f"{'Balanced accuracy' if balanced else 'Accuracy'} (single cells)")
    beside: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
    axes.annotate("Gap", (1, -0.52), xycoords=("axes fraction", "data"), color=GREY, **beside)
    for place, row in zip(y, rows.to_dict("records"), strict=True):
        text = number(row["gap"], signed=True)
        low, high, over = leading(row)
        if over:
            text += "\n" + interval(low, high) + ("*" if over == "wells" else "")
        axes.annotate(text, (1, place), xycoords=("axes fraction", "data"), fontsize=6, **beside)
    handles, names = axes.get_legend_handles_labels()
    last = [*range(1, len(names)), 0]  # chance behind the markers
    axes.legend(
        [handles[i] for i in last], [names[i] for i in last], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3,
        handlelength=1.4, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


@styled
def draw(data: pd.DataFrame) -> Figure:
    """The figure, one row per encoder: circle ID plates, diamond OOD plates, gap at the right. `data` is from
    `prepare`.

    Bars are over wells. The gap's interval is over plates; where there are fewer than three, over wells, with a star.
    """
    tasks = [task for task in TASK_QUADRANTS if (data["task"] == task).any()]
    most = max(int((data["task"] == task).sum()) for task in tasks)
    figure = new_figure(PAGE, 1.05 + 0.3 * most)
    labels: list[str] | None = None
    for letter, axes, task in zip("ab", np.ravel(figure.subplots(1, len(tasks), squeeze=False)), tasks, strict=False):
        rows = data[data["task"] == task].reset_index(drop=True)
        _panel(axes, rows, TASK_QUADRANTS[task])
        same = labels == list(rows["label"])
        labels = list(rows["label"])
        axes.set_yticks(range(len(labels)), [] if same else labels)
        kind = "control" if task == "control" else "held-out"
        axes.set_title(f"1 of {int(rows['n_classes'].iloc[0])} {kind} compounds", loc="left", pad=18)
        panel_letter(axes, letter, rise=16)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the table of gaps."""
    data = prepare(read_csv(files, "gaps"), settings.options.id_channels, settings.options.protocol)
    return Drawn(draw(data), data)
