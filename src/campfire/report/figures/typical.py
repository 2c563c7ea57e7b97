"""Typical and confused cells: those nearest to their compound's mean embedding, and those taken for another's."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, COMPOUND, PLATE, WELL
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.encoders import embedding_table
from campfire.images.tiles import open_plate
from campfire.report.figures.cells import HELD_OUT, composite, contrast, scale_bar, scaled, show_image
from campfire.report.figures.style import GREY, PAGE, Drawn, channel_colour, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions

NEAREST, CONFUSED = 6, 4
"""Cells of a compound: nearest to its mean, and predicted as the compound that it is mistaken for most often."""
LABEL, MISTAKEN = 1.05, 1.15
"""Inches for the compound's name, and for that of the compound it is mistaken for."""


def standardise(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, D) with mean 0 and deviation 1 per dimension; a constant one is 0."""
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return centred / np.where(spread > 1e-8, spread, 1)


def nearest(cells: pd.DataFrame, x: NDArray[np.float64], compound: str) -> pd.DataFrame:
    """The cells of a compound nearest to the mean of its cells, with `distance` (root mean square over dimensions)."""
    own = (cells[COMPOUND] == compound).to_numpy()
    distance = np.sqrt(((x[own] - x[own].mean(axis=0)) ** 2).mean(axis=1))
    return cells[own].assign(distance=distance).sort_values(["distance", *CELL_KEYS]).head(NEAREST)


def confused(cells: pd.DataFrame, predictions: pd.DataFrame, compound: str) -> pd.DataFrame:
    """The cells that most fits predict as the compound that this one is mistaken for most often.

    predictions: of this plate's cells, a row per fit. Columns of `cells` and `predicted`, `fits` (share of the fits
    that predict it). No row where every prediction is right, or there is none.
    """
    own = predictions[predictions["truth"] == compound]
    wrong = own.loc[own["predicted"] != compound, "predicted"].value_counts()
    if wrong.empty:
        return cells.iloc[:0].assign(predicted="", fits=0.0)
    other = min(wrong.index[wrong == wrong.max()])
    share = (own["predicted"] == other).groupby([own[name] for name in CELL_KEYS]).mean().rename("fits").reset_index()
    found = cells.merge(share[share["fits"] > 0], on=CELL_KEYS)
    found = found.sort_values(["fits", *CELL_KEYS], ascending=[False] + [True] * len(CELL_KEYS)).head(CONFUSED)
    return found.assign(predicted=other)


def prepare(
    cells: pd.DataFrame,
    embeddings: NDArray[np.float32],
    predictions: pd.DataFrame,
    controls: Sequence[str],
    options: TableOptions,
) -> pd.DataFrame:
    """The cells to draw, one row each.

    cells: keys, compound, split and `row` (in the tile array) of the embedded cells of one plate, in the order of
    `embeddings` (N, D). predictions: of the leading protocol. Columns: compound, label, group, line, kind (nearest,
    confused), column, keys, row, distance, predicted, predicted_label, fits, scored and mistaken (predictions of the
    compound's cells, and those as `predicted`). DataError without cells.
    """
    held = sorted(set(cells.loc[cells["split"].str.startswith("test_ood_"), COMPOUND]) - set(controls))
    there = set(cells[COMPOUND])
    shown = [name for name in controls if name in there] + held[:HELD_OUT]
    if not shown:
        raise DataError("embeddings: no cell of a control or held-out compound on the plate of the figure")
    x = standardise(embeddings)
    scored = predictions.merge(cells[CELL_KEYS], on=CELL_KEYS)
    parts = []
    for line, compound in enumerate(shown):
        for kind, found in (
            ("nearest", nearest(cells, x, compound)),
            ("confused", confused(cells, scored, compound)),
        ):
            part = found.reindex(columns=[*CELL_KEYS, "row", "distance", "predicted", "fits"]).reset_index(drop=True)
            part.insert(0, "compound", compound)
            part.insert(1, "label", options.compound_name(compound))
            part.insert(2, "group", "control" if compound in controls else "held-out")
            part.insert(3, "line", line)
            part.insert(4, "kind", kind)
            part.insert(5, "column", range(len(part)))
            part["predicted"] = part["predicted"].fillna("")
            part["predicted_label"] = [options.compound_name(name) if name else "" for name in part["predicted"]]
            parts.append(part.astype({"distance": float, "fits": float}))
    data = pd.concat([part for part in parts if len(part)], ignore_index=True)
    data["scored"] = data["compound"].map(scored["truth"].value_counts()).fillna(0).astype(int)
    pairs = scored.groupby(["truth", "predicted"]).size()
    keys = zip(data["compound"], data["predicted"], strict=True)
    data["mistaken"] = [int(pairs.get(key, 0)) if key[1] else 0 for key in keys]
    return data


@styled
def draw(
    data: pd.DataFrame,
    tiles: Mapping[int, NDArray[np.float32]],
    channels: Sequence[str],
    together: Sequence[str],
    options: TableOptions,
    pixel_size_um: float | None = None,
) -> Figure:
    """One row per compound: its nearest cells, then those mistaken for another compound, whose name stands beside them.

    data: from `prepare`. tiles: row -> (C, H, W) from 0 to 1. together: channels of the false colour.
    """
    lines = list(data.drop_duplicates("line").itertuples())
    across = NEAREST + CONFUSED
    side = (PAGE - LABEL - MISTAKEN) / (across + 0.4)
    height = len(lines) * (side + 0.02) + 0.6
    figure = new_figure(PAGE, height)
    figure.get_layout_engine().set(  # type: ignore[union-attr, call-arg]
        w_pad=0.005, h_pad=0.005, wspace=0, hspace=0, rect=(0, 0, 1, 1 - 0.16 / height)
    )
    widths = [1.0] * NEAREST + [0.4] + [1.0] * CONFUSED
    grid = figure.subplots(len(lines), across + 1, squeeze=False, width_ratios=widths)
    for axes in grid.ravel():
        axes.set_axis_off()
    for i, line in enumerate(lines):
        own = data[data["line"] == line.line]
        for kind, first in (("nearest", 0), ("confused", NEAREST + 1)):
            for axes, row in zip(grid[i, first:], own.loc[own["kind"] == kind, "row"], strict=False):
                axes.set_axis_on()
                show_image(axes, composite(tiles[int(row)], channels, together))
        where = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center", "fontsize": 6.2}
        colour = GREY if line.group == "held-out" else "black"
        grid[i, 0].annotate(str(line.label), (0, 0.5), xytext=(-4, 0), ha="right", color=colour, **where)
        grid[i, -1].annotate(_mistake(own), (1, 0.5), xytext=(4, 0), ha="left", **where)
    for axes, text in ((grid[0, 0], "Nearest to the compound's mean"), (grid[0, NEAREST + 1], "Mistaken for another")):
        # Beyond the layout: a title as wide as four cells would push the columns apart.
        head = {"xycoords": "axes fraction", "xytext": (0, 3), "textcoords": "offset points", "fontsize": 6.5}
        axes.annotate(text, (0, 1), va="bottom", fontweight="bold", **head).set_in_layout(False)
    if pixel_size_um:
        scale_bar(grid[0, 0], next(iter(tiles.values())).shape[-1], pixel_size_um)
    handles = [Patch(facecolor=channel_colour(c, together), label=options.channel_name(c)) for c in together]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1, handleheight=1)
    return figure


def _mistake(rows: pd.DataFrame) -> str:
    """What a compound is mistaken for and how often, in two lines."""
    if not rows["scored"].any():
        return "not scored"
    first = rows[rows["kind"] == "confused"]
    if first.empty:
        return "never"
    record = first.iloc[0]
    return f"{record['predicted_label']}\n{100 * record['mistaken'] / record['scored']:.0f} % of predictions"


def make(files: Files, settings: Settings) -> Drawn:
    """The figure of one evaluation plate: its tiles, embeddings and predictions by the first encoder."""
    options = settings.options
    plate = open_plate(files["test_tiles"][0])
    keys, embeddings = embedding_table.read(files["plate_embeddings"][0])
    roles = read_table(files["wells"][0])
    roles = roles.loc[roles["split"] != "unused", [PLATE, WELL, COMPOUND, "split"]]
    cells = keys[CELL_KEYS].assign(place=range(len(keys)))
    cells = cells.merge(plate.index[[*CELL_KEYS, "row"]], on=CELL_KEYS).merge(roles, on=[PLATE, WELL])
    predictions = read_table(files["predictions"][0])
    predictions = predictions[predictions["protocol"] == options.protocol]
    data = prepare(cells, embeddings[cells["place"]], predictions, settings.controls, options)
    together = [name for name in options.channels(options.id_channels) if name in plate.channels][:4]
    pixel = plate.metadata.get("pixel_size_um")
    tiles = scaled(plate, data["row"], contrast(plate))
    return Drawn(draw(data, tiles, list(plate.channels), together, options, float(pixel) if pixel else None), data)
