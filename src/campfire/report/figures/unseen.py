"""What the model fills in on wells and channels that it never saw, where it errs, and what its embedding depends on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from campfire.core.columns import PLATE, WELL
from campfire.report.figures.figure_3_3 import MASKED, read_arrays
from campfire.report.figures.style import GREY, PAGE, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import number

PANELS = {
    "target": "Target", "masked": "Masked input", "reconstruction": "Reconstruction", "error": "Error",
    "occlusion": "Occlusion",
}  # fmt: skip
ERROR_MAX = 2.0
"""Upper end of the scale of errors, in deviations of the target."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MASK_GREY = 60
"""Grey level, 0 to 255, of masked pixels, and in maps of errors of pixels that were visible."""


def prepare(arrays: dict[str, NDArray[np.generic]], options: TableOptions) -> pd.DataFrame:
    """The data to draw, one row per pixel row of a panel, from the arrays of `training.unseen.look`.

    Columns: tile, name (plate and well), channel, channel_label, seen (in training), panel, error (of a reconstruction:
    mean squared error over masked pixels in units of the target's variance), y, x0 to x<W-1>. Targets, masked inputs
    (-1 where masked) and reconstructions are 0 to 255 between percentiles 0.5 and 99.7 of the target; `error` is the
    distance in deviations of the target (-1 where the input was visible); `occlusion` (a row per patch row) is
    1 - cosine similarity.
    """
    target, prediction = (np.asarray(arrays[name], np.float32) for name in ("target", "reconstruction"))
    mask = arrays["mask"].astype(bool)
    low, high = np.percentile(target, (0.5, 99.7), axis=(2, 3), keepdims=True)
    spread = np.maximum(target.std(axis=(2, 3), keepdims=True), 1e-6)

    def shades(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip((images - low) / np.maximum(high - low, 1e-6) * 255, 0, 255).round()

    shown = np.where(mask, prediction, target)
    distance = np.abs(prediction - target) / spread
    panels = {
        "target": shades(target), "masked": np.where(mask, MASKED, shades(target)), "reconstruction": shades(shown),
        "error": np.where(mask, distance, MASKED).round(3),
    }  # fmt: skip
    errors = (distance**2 * mask).sum((2, 3)) / np.maximum(mask.sum((2, 3)), 1)
    blocks = []
    for tile, (plate, well) in enumerate(zip(arrays[PLATE], arrays[WELL], strict=True)):
        for c, channel in enumerate(map(str, arrays["channels"])):
            head = {
                "tile": tile, "name": f"{plate} {well}", "channel": channel,
                "channel_label": options.channel_name(channel), "seen": bool(arrays["seen"][c]),
            }  # fmt: skip
            for panel, images in panels.items():
                error = float(errors[tile, c]) if panel == "reconstruction" else float("nan")
                blocks.append(_block({**head, "panel": panel, "error": error}, images[tile, c]))
            if head["seen"]:
                image = np.asarray(arrays["occlusion"], np.float32)[tile, 1 + c]
                blocks.append(_block({**head, "panel": "occlusion", "error": float("nan")}, image))
    return pd.concat(blocks, ignore_index=True)


def _block(head: dict[str, object], image: NDArray[np.float32]) -> pd.DataFrame:
    rows = pd.DataFrame({**head, "y": range(len(image))})
    return pd.concat([rows, pd.DataFrame(image, columns=[f"x{x}" for x in range(image.shape[1])])], axis=1)


def _pixels(block: pd.DataFrame) -> NDArray[np.float32]:
    columns = [name for name in block.columns if name[0] == "x" and name[1:].isdigit()]
    return block.sort_values("y")[columns].dropna(axis=1).to_numpy(np.float32)


class Row(NamedTuple):
    """A row of the figure."""

    tile: int
    name: str
    channel: str
    channel_label: str
    seen: bool


@styled
def draw(data: pd.DataFrame) -> Figure:
    """For each tile a row per channel: target, masked input, reconstruction, error map, occlusion map."""
    rows = [Row(*row) for row in data.drop_duplicates(["tile", "channel"])[list(Row._fields)].to_numpy().tolist()]
    side = (PAGE - 1.6) / len(PANELS) * 0.8
    figure = new_figure(PAGE * 0.8, len(rows) * (side + 0.13) + 0.85)
    figure.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0.005, hspace=0.005)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(rows), len(PANELS), squeeze=False)
    blocks = dict(list(data.groupby(["tile", "channel", "panel"])))
    most = max((float(_pixels(b).max()) for (_, _, panel), b in blocks.items() if panel == "occlusion"), default=0.0)
    scales = {"error": Normalize(0, ERROR_MAX), "occlusion": Normalize(0, max(most, 1e-12))}
    for i, row in enumerate(rows):
        for j, (panel, title) in enumerate(PANELS.items()):
            axes, block = grid[i, j], blocks.get((row.tile, row.channel, panel))
            if i == 0:
                axes.set_title(title, pad=3, fontsize=6.5)
            if block is None:
                axes.set_axis_off()
            else:
                _show(axes, panel, block, scales)
        first = i == 0 or rows[i - 1].tile != row.tile
        name = f"{row.name}\n" if first else ""
        kind = "" if row.seen else "\n(unseen)"
        grid[i, 0].set_ylabel(f"{name}{row.channel_label}{kind}", fontsize=6, labelpad=3)
    _bars(figure, scales, list(grid[-1]))
    return figure


def _show(axes: Axes, panel: str, block: pd.DataFrame, scales: dict[str, Normalize]) -> None:
    image = _pixels(block)
    if panel in scales:
        colours = colormaps["magma"].with_extremes(bad=(MASK_GREY / 255,) * 3)
        axes.imshow(np.ma.masked_less(image, 0), cmap=colours, norm=scales[panel], interpolation="nearest")
    else:
        axes.imshow(np.where(image == MASKED, MASK_GREY, image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    error = float(block["error"].iloc[0])
    if np.isfinite(error):
        axes.set_xlabel(number(error, 2), fontsize=5.5, color=GREY, labelpad=1.5)


def _bars(figure: Figure, scales: dict[str, Normalize], last: Sequence[Axes]) -> None:
    """The colour scales of errors and of occlusion, below the figure."""
    labels = {"error": "Error (SD of the target)", "occlusion": "Change of the embedding (1 − cosine)"}
    for panel, norm in scales.items():
        bar = figure.colorbar(
            ScalarMappable(norm, "magma"), ax=list(last), location="bottom", shrink=0.5, aspect=40, pad=0.03
        )
        power = _power(float(norm.vmax or 1))
        bar.set_label(labels[panel] + (f", in units of 10{str(power).translate(RAISED)}" if power else ""), fontsize=6)
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=5.5, length=0)
        bar.locator = MaxNLocator(3)
        bar.formatter = FuncFormatter(lambda value, _, unit=10.0**power: f"{value / unit:.2g}")  # type: ignore[misc]
        bar.update_ticks()


def _power(most: float) -> int:
    """The power of ten in which a scale is labelled; 0 from 0.01: an occlusion can change an embedding by far less."""
    return 0 if most >= 0.01 else int(np.floor(np.log10(most)))


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from reconstruction/{run}.npz of the first pretraining run."""
    needed = ("channels", "seen", "target", "reconstruction", "mask", "occlusion", PLATE, WELL)
    data = prepare(read_arrays(files["unseen"][0], needed, "the step `reconstruct_unseen`"), settings.options)
    return Drawn(draw(data), data)
