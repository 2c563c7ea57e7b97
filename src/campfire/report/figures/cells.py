"""Cells of every compound side by side: random tiles of one plate, in false colour and channel by channel."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from campfire.core.columns import COMPOUND, NUCLEUS, PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.core.random import keyed_generator
from campfire.images.tiles import TilePlate, open_plate
from campfire.report.figures.style import GREY, PAGE, Drawn, channel_colour, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.screen.leave_out import drop

CELLS = 6
"""Cells per compound in false colour; the first is also shown channel by channel."""
HELD_OUT = 6
"""Number of held-out compounds below the controls."""
SAMPLE = 400
"""Number of tiles for the plate's contrast."""
PERCENTILES = (1.0, 99.7)
SEED = 7


def prepare(index: pd.DataFrame, wells: pd.DataFrame, controls: Sequence[str], options: TableOptions) -> pd.DataFrame:
    """The cells to draw, row by row: random cells of each compound from all its wells on the plate.

    index: the plate's tile index. wells: split/wells.parquet. controls: the compounds of the control task, the negative
    control first; held-out compounds follow in the order of their identifiers. Columns: compound, label, group (control
    or held-out), line, column, plate, well, site, nucleus, row (in the tile array). DataError when no compound has a
    tile.
    """
    roles = wells[(wells["split"] != "unused") & (wells[PLATE] == index[PLATE].iloc[0])]
    tiles = index.merge(roles[[PLATE, WELL, COMPOUND, "split"]], on=[PLATE, WELL], validate="many_to_one")
    held = sorted(set(tiles.loc[tiles["split"].str.startswith("test_ood_"), COMPOUND]) - set(controls))
    there = set(tiles[COMPOUND])
    shown = [name for name in controls if name in there] + held[:HELD_OUT]
    if not shown:
        raise DataError(f"tiles/{index[PLATE].iloc[0]}.parquet: no control or held-out compound has a tile")
    generator = keyed_generator(SEED)
    parts = []
    for line, compound in enumerate(shown):
        own = tiles[tiles[COMPOUND] == compound].sort_values([WELL, SITE, NUCLEUS])
        chosen = own.iloc[generator.permutation(len(own))[:CELLS]]
        part = chosen[[PLATE, WELL, SITE, NUCLEUS, "row"]].reset_index(drop=True)
        part.insert(0, "compound", compound)
        part.insert(1, "label", options.compound_name(compound))
        part.insert(2, "group", "control" if compound in controls else "held-out")
        part.insert(3, "line", line)
        part.insert(4, "column", range(len(part)))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def contrast(plate: TilePlate) -> pd.DataFrame:
    """Intensities shown as black and white, one row per channel (low, high), from random tiles of the whole plate."""
    generator = keyed_generator(SEED)
    rows = np.sort(generator.permutation(len(plate.images))[:SAMPLE])
    sample = np.asarray(plate.images[rows], dtype=np.float32)[:, :, ::2, ::2]
    low, high = np.percentile(sample, PERCENTILES, axis=(0, 2, 3))
    return pd.DataFrame({"low": low, "high": np.maximum(high, low + 1)}, index=pd.Index(plate.channels, name="channel"))


def scaled(plate: TilePlate, rows: Iterable[int], limits: pd.DataFrame) -> dict[int, NDArray[np.float32]]:
    """Row -> tile (C, H, W) from 0 (black) to 1 (white), by the `limits` of `contrast`."""
    low, high = (limits[name].to_numpy(np.float32)[:, None, None] for name in ("low", "high"))
    return {
        int(row): np.clip((np.asarray(plate.images[int(row)], np.float32) - low) / (high - low), 0, 1) for row in rows
    }


def composite(tile: NDArray[np.float32], channels: Sequence[str], together: Sequence[str]) -> NDArray[np.float32]:
    """(C, H, W) from 0 to 1 -> (H, W, 3) of the channels in `together`."""
    parts = [tile[channels.index(c), ..., None] * np.array(channel_colour(c, together)) for c in together]
    return np.asarray(np.clip(sum(parts), 0, 1), dtype=np.float32)


def show_image(axes: Axes, image: NDArray[np.float32]) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def scale_bar(axes: Axes, size: int, pixel_size_um: float, length_um: float = 20) -> None:
    long = length_um / pixel_size_um
    axes.add_patch(Rectangle((size - long - 5, size - 10), long, 4, color="white", lw=0))
    axes.text(size - 5, size - 13, f"{length_um:g} µm", color="white", fontsize=4.5, ha="right", va="bottom")


@styled
def draw(
    data: pd.DataFrame,
    tiles: Mapping[int, NDArray[np.float32]],
    channels: Sequence[str],
    together: Sequence[str],
    options: TableOptions,
    pixel_size_um: float | None = None,
) -> Figure:
    """The figure, one row per compound: its cells in false colour, then the channels of the first in grey.

    data: from `prepare`. tiles: row -> (C, H, W) from 0 (black) to 1 (white). together: channels of the false colour.
    """
    lines = list(data.drop_duplicates("line").itertuples())
    across = CELLS + len(channels)
    label = 1.05
    side = (PAGE - label) / (across + 0.3)
    figure = new_figure(PAGE, len(lines) * (side + 0.02) + 0.55)
    figure.get_layout_engine().set(w_pad=0.005, h_pad=0.005, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
    widths = [1.0] * CELLS + [0.3] + [1.0] * len(channels)
    grid = figure.subplots(len(lines), across + 1, squeeze=False, width_ratios=widths)
    for axes in grid.ravel():
        axes.set_axis_off()
    for i, line in enumerate(lines):
        own = data[data["line"] == line.line].sort_values("column")
        for axes, row in zip(grid[i], own["row"], strict=False):
            axes.set_axis_on()
            show_image(axes, composite(tiles[row], channels, together))
        for axes, image in zip(grid[i, CELLS + 1 :], tiles[own["row"].iloc[0]], strict=True):
            axes.set_axis_on()
            show_image(axes, image)
        where = {"xy": (0, 0.5), "xycoords": "axes fraction", "xytext": (-4, 0), "textcoords": "offset points"}
        weight = "bold" if i == 0 else "normal"
        colour = GREY if line.group == "held-out" else "black"
        grid[i, 0].annotate(
            str(line.label), ha="right", va="center", fontsize=6.2, color=colour, fontweight=weight, **where
        )  # type: ignore[arg-type]
    for axes, name in zip(grid[0, CELLS + 1 :], channels, strict=True):
        axes.set_title(options.channel_name(name), pad=3, fontsize=6.5)
    grid[0, 0].set_title("Random cells", pad=3, fontsize=6.5, loc="left")
    if pixel_size_um:
        scale_bar(grid[0, 0], next(iter(tiles.values())).shape[-1], pixel_size_um)
    handles = [Patch(facecolor=channel_colour(c, together), label=options.channel_name(c)) for c in together]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1, handleheight=1)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the tiles of one evaluation plate and split/wells.parquet."""
    options = settings.options
    plate = open_plate(files["tiles"][0])
    cells, wells = (drop(table, settings.leave_out) for table in (plate.index, read_table(files["wells"][0])))
    data = prepare(cells, wells, settings.controls, options)
    limits = contrast(plate)
    tiles = scaled(plate, data["row"], limits)
    together = [name for name in options.channels(options.id_channels) if name in plate.channels][:4]
    pixel = plate.metadata.get("pixel_size_um")
    figure = draw(data, tiles, list(plate.channels), together, options, float(pixel) if pixel else None)
    for name, row in limits.iterrows():
        data[f"low_{name}"], data[f"high_{name}"] = row["low"], row["high"]
    return Drawn(figure, data)
