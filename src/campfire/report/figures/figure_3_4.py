"""Figure 3.4: how accuracy grows with the fluorescent channels, control compounds left, held-out compounds right."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from campfire.core.columns import TASK_QUADRANTS
from campfire.core.errors import DataError
from campfire.report.figures.style import GREY, INK, PAGE, SPLIT_COLOURS, Drawn, new_figure, panel_letter, styled
from campfire.report.tables.inputs import Files, Settings, read_csv

_COLUMNS = [
    "encoder", "label", "channels", "channel_label", "protocol", "task", "split", "accuracy", "sd", "low", "high",
    "n_fits", "n_wells", "n_cells", "n_classes", "chance", "majority",
]  # fmt: skip


def prepare(
    accuracies: pd.DataFrame,
    encoder: str,
    protocol: str,
    id_channels: str = "DNA_AGP_Mito",
    channel_sets: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows of tables/accuracies.csv to draw, in drawing order.

    channel_sets: which sets in which order; empty takes every set made of channels of `id_channels`, as the table
    orders them.
    Raises DataError when the encoder has no scores under the protocol or lacks a requested set.
    """
    rows = accuracies[(accuracies["encoder"] == encoder) & (accuracies["protocol"] == protocol)]
    if rows.empty:
        raise DataError(f"tables/accuracies.csv: no scores of encoder {encoder} under protocol {protocol}")
    there = dict(zip(rows["channels"], rows["channel_label"], strict=True))
    allowed = set(there.get(id_channels, "").split(" + "))
    inside = [name for name, label in there.items() if set(label.split(" + ")) <= allowed]
    wanted = list(channel_sets) or inside
    missing = [name for name in wanted if name not in there]
    if missing or not wanted:
        raise DataError(
            f"tables/accuracies.csv: encoder {encoder} has no scores on {missing[0] if missing else id_channels}; "
            f"add the channel set to the evaluation of that encoder (there are: {', '.join(there)})"
        )
    splits = [split for panel in TASK_QUADRANTS.values() for split in panel]
    rows = rows[rows["channels"].isin(wanted) & rows["split"].isin(splits)]
    position = rows["channels"].map(wanted.index) * len(splits) + rows["split"].map(splits.index)
    return rows.assign(position=position).sort_values(["task", "position"])[_COLUMNS].reset_index(drop=True)


def _panel(axes: Axes, rows: pd.DataFrame, splits: tuple[str, str]) -> None:
    sets = list(dict.fromkeys(rows["channels"]))
    labels = [str(label) for label in rows.drop_duplicates("channels")["channel_label"]]
    width = 0.36
    for offset, split, name in zip((-0.5, 0.5), splits, ("ID plates", "OOD plates"), strict=True):
        chosen = rows[rows["split"] == split].set_index("channels").reindex(sets)
        x = np.arange(len(sets)) + offset * (width + 0.03)
        axes.bar(x, chosen["accuracy"], width, color=SPLIT_COLOURS[split], label=name, zorder=2)
        errors = np.abs(chosen[["low", "high"]].to_numpy().T - chosen["accuracy"].to_numpy())
        axes.errorbar(x, chosen["accuracy"], errors, fmt="none", ecolor=INK, elinewidth=0.8, capsize=1.8, zorder=3)
    classes, chance = int(rows["n_classes"].iloc[0]), float(rows["chance"].iloc[0])
    axes.axhline(chance, color=INK, lw=0.8, ls=(0, (4, 2)), zorder=4, label=f"Chance (1/{classes})")
    majority = float(rows["majority"].max())
    if majority > 1.25 * chance:  # in an unbalanced sample the fair floor is guessing the largest class
        axes.axhline(majority, color=GREY, lw=0.8, ls=(0, (1, 1.5)), zorder=4, label="Always the largest class")
    axes.set_xticks(range(len(sets)), [label.replace(" + ", "\n") for label in labels], linespacing=1.15)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(sets) - 0.4)
    top = float(np.nanmax([rows["high"].max(), rows["accuracy"].max(), majority]))
    axes.set_ylim(0, top * 1.22)
    handles, names = axes.get_legend_handles_labels()
    bars_first = sorted(range(len(names)), key=lambda i: not names[i].endswith("plates"))
    axes.legend(
        [handles[i] for i in bars_first], [names[i] for i in bars_first], loc="upper left", ncols=2, handlelength=1.4,
        columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Bars from zero with the interval over wells; the dashed line is chance. `data` is what `prepare` returns."""
    tasks = [task for task in TASK_QUADRANTS if (data["task"] == task).any()]
    figure = new_figure(PAGE, 2.6)
    for letter, axes, task in zip("ab", np.ravel(figure.subplots(1, len(tasks), squeeze=False)), tasks, strict=False):
        rows = data[data["task"] == task]
        _panel(axes, rows, TASK_QUADRANTS[task])
        kind = "control" if task == "control" else "held-out"
        axes.set_title(f"1 of {int(rows['n_classes'].iloc[0])} {kind} compounds", loc="left", pad=8)
        axes.set_ylabel("Accuracy (single cells)")
        axes.set_xlabel("Channels")
        panel_letter(axes, letter)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the table of accuracies."""
    options = settings.options
    accuracies = read_csv(files, "accuracies")
    data = prepare(accuracies, settings.encoder, options.protocol, options.id_channels, settings.channel_sets)
    return Drawn(draw(data), data)
