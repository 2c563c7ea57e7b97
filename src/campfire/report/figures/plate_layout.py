"""Quality measures in the layout of a plate, which shows edge effects and bad wells."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from campfire.core.columns import PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.report.figures.style import GREY, PAGE, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.screen.wells import row_letters, well_position

FORMATS = ((8, 12), (16, 24), (32, 48))
"""Rows and columns of plates of 96, 384 and 1536 wells."""


def prepare(quality: pd.DataFrame, measures: Sequence[str] = (), options: TableOptions | None = None) -> pd.DataFrame:
    """One row per well and measure of one plate.

    quality: quality/{plate}.parquet. measures: its columns; empty takes nuclei, the share of sites that are kept, and
    focus and background of DNA (else of the first channel). nuclei are summed over the sites of a well, other measures
    averaged. Columns: Metadata_Plate, Metadata_Well, row, column (from 0), measure, title, value, sites.
    Raises DataError when the table is empty or lacks a measure.
    """
    if quality.empty:
        raise DataError("quality table: holds no site; run the segmentation of the plate again")
    plate = str(quality[PLATE].iloc[0])
    channels = [name.removeprefix("focus_") for name in quality.columns if name.startswith("focus_")]
    channel = "DNA" if "DNA" in channels or not channels else channels[0]
    chosen = list(measures) or [
        name for name in ("nuclei", "kept", f"focus_{channel}", f"background_{channel}") if name in quality.columns
    ]
    missing = [name for name in chosen if name not in quality.columns]
    if missing or not chosen:
        raise DataError(f"quality/{plate}.parquet: has no column {missing[0] if missing else 'to draw'}")
    grouped = quality.astype(dict.fromkeys(chosen, float)).groupby(WELL, observed=True)
    parts = []
    for name in chosen:
        values = grouped[name].sum() if name == "nuclei" else grouped[name].mean()
        title = _title(name, options or TableOptions())
        parts.append(
            pd.DataFrame(
                {"measure": name, "title": title, "value": values, "sites": grouped[SITE].nunique()}
            ).reset_index()
        )
    data = pd.concat(parts, ignore_index=True)
    data.insert(0, PLATE, plate)
    places = data[WELL].map(well_position)
    data.insert(2, "row", places.str[0])
    data.insert(3, "column", places.str[1])
    return data


def _title(measure: str, options: TableOptions) -> str:
    kind, _, channel = measure.partition("_")
    plain = {"nuclei": "Nuclei per well", "kept": "Share of sites kept"}
    kinds = {"focus": "Focus", "background": "Background", "saturated": "Saturated share", "contrast": "Contrast"}
    return plain.get(measure, f"{kinds.get(kind, kind)} {options.channel_name(channel) if channel else ''}".strip())


@styled
def draw(data: pd.DataFrame) -> Figure:
    """A map per measure in the smallest plate format that holds the wells; wells not imaged are left blank."""
    measures = list(dict.fromkeys(data["measure"]))
    most = int(data["row"].max()) + 1, int(data["column"].max()) + 1
    rows, columns = next((f for f in FORMATS if f[0] >= most[0] and f[1] >= most[1]), most)
    lines = -(-len(measures) // 2)
    across = min(2, len(measures))
    width, height = (PAGE if across > 1 else 3.8), lines * 2.25 + 0.2
    figure = new_figure(width, height)
    # Fixed margins (inches): every plate has the same panels, and fitting them takes as long as drawing.
    figure.set_layout_engine(None)
    grid = np.ravel(figure.subplots(lines, across, squeeze=False))
    figure.subplots_adjust(
        left=0.22 / width, right=1 - 0.5 / width, bottom=0.06 / height, top=1 - 0.52 / height, wspace=0.22, hspace=0.24
    )
    for axes, measure in zip(grid, measures, strict=False):
        chosen = data[data["measure"] == measure]
        values = np.full((rows, columns), np.nan)
        values[chosen["row"], chosen["column"]] = chosen["value"]
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if measure in ("nuclei", "kept"):
            low, high = 0.0, 1.0 if measure == "kept" else max(high, 1.0)
        drawn = axes.imshow(
            np.ma.masked_invalid(values), cmap="cividis", vmin=low, vmax=high if high > low else low + 1,
            interpolation="nearest",
        )  # fmt: skip
        # Two line collections: a grid of minor ticks would take most of the drawing time.
        axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color="#E6E6E6", lw=0.4)
        axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color="#E6E6E6", lw=0.4)
        axes.tick_params(which="both", length=0)
        axes.xaxis.set_ticks_position("top")
        every = max(1, columns // 12)
        axes.set_xticks(
            range(0, columns, every), [str(i + 1) for i in range(0, columns, every)], fontsize=5, color=GREY
        )
        axes.set_yticks(range(0, rows, every), [row_letters(i) for i in range(0, rows, every)], fontsize=5, color=GREY)
        axes.spines[:].set_visible(False)
        axes.set_title(str(chosen["title"].iloc[0]), pad=4)
        bar = figure.colorbar(drawn, cax=axes.inset_axes((1.02, 0.0, 0.03, 1.0)))
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=5.5, length=0)
    for axes in grid[len(measures) :]:
        axes.set_visible(False)
    figure.suptitle(f"Plate {data[PLATE].iloc[0]}", fontsize=8, fontweight="bold", x=0.01, ha="left")
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure of one plate from its quality table."""
    data = prepare(read_table(files["quality"][0]), options=settings.options)
    return Drawn(draw(data), data)
