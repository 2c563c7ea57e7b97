"""How pretraining went: loss on training and validation tiles, learning rate, speed, for one or more runs."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from campfire.core.errors import DataError
from campfire.report.figures.style import CYCLE, GREY, INK, PAGE, Drawn, new_figure, panel_letter, styled
from campfire.report.tables.inputs import Files, Settings, by_folder


def prepare(runs: Mapping[str, pd.DataFrame], label: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Long rows of what is drawn: run, quantity (loss, lr, tiles_per_s), split (train, val), epoch, value.

    runs: run name -> pretrain/{run}/metrics.parquet. label: names in print. Raises DataError for a run without epochs.
    """
    parts = []
    for run, metrics in runs.items():
        if metrics.empty:
            raise DataError(f"pretrain/{run}/metrics.parquet: holds no epoch; run the pretraining again")
        quantities = [name for name in ("loss", "lr", "tiles_per_s") if name in metrics.columns]
        long = metrics.melt(["epoch", "split"], quantities, "quantity", "value").dropna(subset=["value"])
        # Rate and speed belong to training; a validation row may repeat or lack them.
        long = long[(long["quantity"] == "loss") | (long["split"] == "train")]
        parts.append(long.assign(run=(label or {}).get(run, run)))
    if not parts:
        raise DataError("training curves: no pretraining run was given")
    return pd.concat(parts, ignore_index=True)[["run", "quantity", "split", "epoch", "value"]]


def _lines(axes: Axes, rows: pd.DataFrame, runs: list[str]) -> None:
    for run, colour in zip(runs, np.resize(np.array(CYCLE), len(runs)), strict=True):
        for split, style in (("train", "-"), ("val", (0, (3, 1.5)))):
            chosen = rows[(rows["run"] == run) & (rows["split"] == split)].sort_values("epoch")
            if not chosen.empty:
                # A run of few epochs is shown point by point, so that no curve pretends to more.
                marker = "o" if len(chosen) <= 20 else ""
                axes.plot(chosen["epoch"], chosen["value"], ls=style, color=colour, marker=marker, ms=2.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("Epoch")


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Loss (solid training, dashed validation), learning rate, tiles per second. `data` is that of `prepare`."""
    names = {"loss": "Reconstruction loss", "lr": "Learning rate", "tiles_per_s": "Tiles per second"}
    shown = [quantity for quantity in names if (data["quantity"] == quantity).any()]
    runs = list(dict.fromkeys(data["run"]))
    figure = new_figure(PAGE, 2.3)
    panels = figure.subplots(1, len(shown), width_ratios=[2 if name == "loss" else 1 for name in shown], squeeze=False)
    for letter, axes, quantity in zip("abc", np.ravel(panels), shown, strict=False):
        rows = data[data["quantity"] == quantity]
        _lines(axes, rows, runs)
        axes.set_ylabel(names[quantity])
        panel_letter(axes, letter, rise=4)
        if quantity == "loss":
            values = rows["value"]
            if values.min() > 0 and values.max() / values.min() > 8:
                axes.set_yscale("log")
            handles = [Line2D([], [], color=INK, ls="-", label="Training tiles")]
            if (rows["split"] == "val").any():
                handles.append(Line2D([], [], color=INK, ls=(0, (3, 1.5)), label="Validation wells"))
            if len(runs) > 1:
                colours = np.resize(np.array(CYCLE), len(runs))
                handles += [Line2D([], [], color=c, lw=3, label=run) for run, c in zip(runs, colours, strict=True)]
            axes.legend(handles=handles, loc="upper right")
        elif quantity == "lr":
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(0, float(rows["value"].max()) * 1.1)
        axes.grid(axis="y", color=GREY, alpha=0.2, lw=0.4)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from pretrain/{run}/metrics.parquet of every run."""
    data = prepare(by_folder(files["metrics"]), settings.options.labels)
    return Drawn(draw(data), data)
