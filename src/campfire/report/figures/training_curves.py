"""Training curves: loss on training and validation tiles, learning rate and speed of one or more runs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from campfire.core.errors import DataError
from campfire.report.figures.style import CYCLE, GREY, INK, PAGE, Drawn, new_figure, panel_letter, styled
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.options import TableOptions

ERRORS = ("masked_error", "floor_tile", "floor_blind")
"""Per channel: the model's error at masked pixels, that of the channel's mean tile, and the lowest possible without
knowing which channel is which."""


def prepare(
    runs: Mapping[str, pd.DataFrame], label: Mapping[str, str] | None = None, options: TableOptions | None = None
) -> pd.DataFrame:
    """The data to draw in long form: run, quantity, split (train, val), epoch, channel, value.

    runs: run name -> pretrain/{run}/metrics.parquet. label: names of runs in print. quantity: loss, lr, tiles_per_s,
    and on validation wells, per channel, those of ERRORS; channel is empty for the others. Raises DataError for a run
    without epochs.
    """
    parts = []
    for run, metrics in runs.items():
        if metrics.empty:
            raise DataError(f"pretrain/{run}/metrics.parquet: holds no epoch; run the pretraining again")
        quantities = [name for name in ("loss", "lr", "tiles_per_s") if name in metrics.columns]
        long = metrics.melt(["epoch", "split"], quantities, "quantity", "value").dropna(subset=["value"])
        # Rate and speed are of training; a validation row may repeat or lack them.
        long = long[(long["quantity"] == "loss") | (long["split"] == "train")]
        parts.append(
            pd.concat([long.assign(channel=""), _errors(metrics, options)]).assign(run=(label or {}).get(run, run))
        )
    if not parts:
        raise DataError("training curves: no pretraining run was given")
    return pd.concat(parts, ignore_index=True)[["run", "quantity", "split", "epoch", "channel", "value"]]


def _errors(metrics: pd.DataFrame, options: TableOptions | None) -> pd.DataFrame:
    """Errors at masked pixels by channel, of validation wells; empty for metrics without them."""
    name_of = (options or TableOptions()).channel_name
    rows = metrics[metrics["split"] == "val"]
    parts = []
    for quantity in ERRORS:
        for column in [name for name in metrics.columns if name.startswith(f"{quantity}_")]:
            part = rows[["epoch", "split"]].assign(quantity=quantity, value=rows[column])
            parts.append(part.assign(channel=name_of(column.removeprefix(f"{quantity}_"))))
    return pd.concat(parts).dropna(subset=["value"]) if parts else pd.DataFrame()


def _masked_errors(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the error of each channel of the first run, with both floors at the right edge."""
    rows = rows[rows["run"] == rows["run"].iloc[0]]
    last = rows["epoch"].max()
    for channel, colour in zip(dict.fromkeys(rows["channel"]), CYCLE, strict=False):
        own = rows[rows["channel"] == channel]
        line = own[own["quantity"] == "masked_error"].sort_values("epoch")
        axes.plot(
            line["epoch"], line["value"], color=colour, marker="o" if len(line) <= 20 else "", ms=2.2, label=channel
        )
        for quantity, style in (("floor_tile", (0, (4, 1.5))), ("floor_blind", (0, (1, 1.2)))):
            floor = own[(own["quantity"] == quantity) & (own["epoch"] == last)]["value"]
            if len(floor):
                axes.axhline(float(floor.iloc[0]), color=colour, ls=style, lw=0.8, zorder=1)
    handles = axes.get_legend_handles_labels()[0]
    handles.append(Line2D([], [], color=INK, ls=(0, (4, 1.5)), lw=0.8, label="Mean tile"))
    handles.append(Line2D([], [], color=INK, ls=(0, (1, 1.2)), lw=0.8, label="Channel-blind"))
    axes.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.6, 1.0), ncols=2, columnspacing=1.0, handlelength=1.4
    )
    axes.set_ylim(0, max(1.05, float(rows["value"].max()) * 1.05))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("Epoch")
    axes.set_ylabel("Masked error (1: the tile's mean)")


def _lines(axes: Axes, rows: pd.DataFrame, runs: list[str]) -> None:
    for run, colour in zip(runs, np.resize(np.array(CYCLE), len(runs)), strict=True):
        for split, style in (("train", "-"), ("val", (0, (3, 1.5)))):
            chosen = rows[(rows["run"] == run) & (rows["split"] == split)].sort_values("epoch")
            if not chosen.empty:
                # Short runs are drawn as points, so that no curve suggests more epochs.
                marker = "o" if len(chosen) <= 20 else ""
                axes.plot(chosen["epoch"], chosen["value"], ls=style, color=colour, marker=marker, ms=2.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("Epoch")


def _loss_legend(axes: Axes, rows: pd.DataFrame, runs: list[str]) -> None:
    handles = [Line2D([], [], color=INK, ls="-", label="Training tiles")]
    if (rows["split"] == "val").any():
        handles.append(Line2D([], [], color=INK, ls=(0, (3, 1.5)), label="Validation wells"))
    if len(runs) > 1:
        colours = np.resize(np.array(CYCLE), len(runs))
        handles += [Line2D([], [], color=c, lw=3, label=run) for run, c in zip(runs, colours, strict=True)]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.6, 1.0), ncols=1, handlelength=1.6)


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Loss (solid training, dashed validation), masked error by channel, learning rate, tiles per second.

    `data` is that of `prepare`.
    """
    data = data.fillna({"channel": ""})
    names = {
        "loss": "Reconstruction loss",
        "masked_error": "",
        "lr": "Learning rate",
        "tiles_per_s": "Tiles per second",
    }
    shown = [quantity for quantity in names if (data["quantity"] == quantity).any()]
    runs = list(dict.fromkeys(data["run"]))
    figure = new_figure(PAGE, 2.5)
    widths = [1.6 if name in ("loss", "masked_error") else 0.9 for name in shown]
    panels = figure.subplots(1, len(shown), width_ratios=widths, squeeze=False)
    for letter, axes, quantity in zip("abcd", np.ravel(panels), shown, strict=False):
        axes.grid(axis="y", color=GREY, alpha=0.2, lw=0.4)
        panel_letter(axes, letter, rise=12)
        rows = data[data["quantity"] == quantity]
        if quantity == "masked_error":
            _masked_errors(axes, data[data["quantity"].isin(ERRORS)])
            continue
        _lines(axes, rows, runs)
        axes.set_ylabel(names[quantity])
        if quantity == "loss":
            values = rows["value"]
            if values.min() > 0 and values.max() / values.min() > 8:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
            _loss_legend(axes, rows, runs)
        elif quantity == "lr":
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(0, float(rows["value"].max()) * 1.1)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from pretrain/{run}/metrics.parquet of every run."""
    data = prepare(by_folder(files["metrics"]), settings.options.labels, settings.options)
    return Drawn(draw(data), data)
