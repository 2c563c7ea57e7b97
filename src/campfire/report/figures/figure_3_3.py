"""Figure 3.3: masked input, reconstructions as training proceeds, and the target, together and channel by channel."""

import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from campfire.core.columns import PLATE, WELL
from campfire.core.errors import DataError
from campfire.report.figures.style import GREY, PAGE, Drawn, channel_colour, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import number

MASKED = -1
"""Value of a masked pixel in the data; visible ones are 0 to 255."""
_MASK_GREY = 0.24


def read_arrays(path: str | Path, needed: Collection[str], remedy: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of an npz file; a missing or damaged file, or one without `needed`, is a DataError that names it."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; run {remedy}") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable npz file ({error}); delete it and run {remedy} again") from error
    if missing := set(needed) - set(arrays):
        raise DataError(f"{path}: lacks `{min(missing)}`; run {remedy} again")
    return arrays


def read_snapshots(path: str | Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of pretrain/{run}/snapshots.npz; a missing, damaged or empty file is a DataError that names it."""
    needed = ("epochs", "target", "masked", "reconstruction", "channels")
    arrays = read_arrays(path, needed, "the pretraining that writes it")
    if not arrays["target"].size:
        raise DataError(f"{path}: holds no tile; set snapshot_tiles above 0; run its pretraining again")
    return arrays


def _masked_pixels(arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """(S, C, H, W), true where the model did not see the pixel."""
    target = arrays["target"]
    if "mask" in arrays:
        return np.broadcast_to(arrays["mask"].astype(bool), target.shape)
    return np.asarray(arrays["masked"] != target)


def _names(arrays: dict[str, NDArray[np.generic]]) -> list[str]:
    """Plate and well of every tile."""
    if PLATE in arrays and WELL in arrays:
        return [f"{plate} {well}" for plate, well in zip(arrays[PLATE], arrays[WELL], strict=True)]
    return [f"tile {i + 1}" for i in range(len(arrays["target"]))]


def _spread(names: Sequence[str], count: int) -> list[int]:
    """At most `count` tiles in their order, each from a different well where there are enough."""
    seen: dict[str, int] = {}
    turns = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        turns.append(seen[name])
    return sorted(sorted(range(len(names)), key=lambda i: (turns[i], i))[:count])


def prepare(
    arrays: dict[str, NDArray[np.generic]],
    tiles: int = 2,
    epochs: int = 6,
    percentiles: Sequence[float] = (0.5, 99.7),
    options: TableOptions | None = None,
) -> pd.DataFrame:
    """The data to draw, one row per pixel row of a channel of a panel, from `read_snapshots`.

    tiles, epochs: at most so many, the epochs spread evenly from the first to the last. Intensities are scaled from 0
    to 255 between the `percentiles` of the target's channel, the same for every panel of that tile; a masked pixel is
    -1. Reconstructions show the input in visible patches: where the loss uses masked pixels only, predictions for
    visible ones are meaningless. Columns: tile, name (plate and well), panel (masked, reconstruction, target), epoch,
    channel, channel_label, error (of reconstructions: mean squared error of that channel over its masked pixels, in
    units of the variance of the target's channel; 1 is the error of predicting the tile's own mean), y, x0 to x<W-1>.
    """
    name_of = (options or TableOptions()).channel_name
    names = _names(arrays)
    shown = _spread(names, tiles)
    target = np.asarray(arrays["target"], dtype=np.float32)[shown]
    hidden = _masked_pixels(arrays)[shown]
    reconstruction = np.asarray(arrays["reconstruction"], dtype=np.float32)[:, shown]
    steps = np.asarray(arrays["epochs"]).astype(int)
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(epochs, len(steps))).round().astype(int))
    channels = [str(name) for name in arrays["channels"]]
    low, high = np.percentile(target, list(percentiles), axis=(2, 3), keepdims=True)  # (tiles, C, 1, 1) each
    span = np.maximum(high - low, 1e-6)

    def shades(images: NDArray[np.float32]) -> NDArray[np.int16]:
        return np.asarray(np.clip((images - low) / span * 255, 0, 255).round(), dtype=np.int16)

    panels = [("masked", -1, np.where(hidden, MASKED, shades(target)), None)]
    for i in chosen:
        squared = ((reconstruction[i] - target) ** 2 * hidden).sum((2, 3)) / np.maximum(hidden.sum((2, 3)), 1)
        error = squared / np.maximum(target.var(axis=(2, 3)), 1e-12)  # (tiles, C)
        panels.append(("reconstruction", int(steps[i]), shades(np.where(hidden, reconstruction[i], target)), error))
    panels.append(("target", -1, shades(target), None))

    height, width = target.shape[2:]
    blocks = []
    for i, name in enumerate(names[place] for place in shown):
        for panel, epoch, images, errors in panels:
            for c, channel in enumerate(channels):
                block = pd.DataFrame(images[i, c], columns=[f"x{x}" for x in range(width)])
                head = pd.DataFrame({"tile": i, "name": name, "panel": panel, "epoch": epoch}, index=range(height))
                head["channel"], head["channel_label"] = channel, name_of(channel)
                head["error"] = float("nan") if errors is None else float(errors[i, c])
                head["y"] = range(height)
                blocks.append(pd.concat([head, block], axis=1))
    return pd.concat(blocks, ignore_index=True)


def _composite(images: dict[str, NDArray[np.int16]]) -> NDArray[np.float64]:
    """(H, W, 3): the channels' colours added up; a pixel masked in every channel is grey."""
    shape = next(iter(images.values())).shape
    colour, hidden = np.zeros((*shape, 3)), np.ones(shape, dtype=bool)
    for channel, image in images.items():
        # A single channel is shown in white; colours only serve to distinguish channels.
        tint = channel_colour(channel, list(images)) if len(images) > 1 else (1.0, 1.0, 1.0)
        colour += np.maximum(image, 0)[..., None] / 255 * np.array(tint)
        hidden &= image == MASKED
    colour[hidden] = _MASK_GREY
    return np.asarray(np.clip(colour, 0, 1))


def _panel(axes: Axes, blocks: dict[str, pd.DataFrame]) -> None:
    """One image: its channels in colour, or a single one in white, with the error of a reconstruction below."""
    images = {name: block[_pixels(block)].to_numpy(np.int16) for name, block in blocks.items()}
    axes.imshow(_composite(images), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    errors = [float(block["error"].iloc[0]) for block in blocks.values()]
    if np.isfinite(errors).all():
        axes.set_xlabel(number(float(np.mean(errors)), 2), fontsize=5.5, color=GREY, labelpad=1.5)


def _pixels(data: pd.DataFrame) -> list[str]:
    return [column for column in data.columns if column.startswith("x") and column[1:].isdigit()]


def _rows(data: pd.DataFrame) -> list[tuple[int, list[str]]]:
    """Tile and channels of each row: for every tile all channels together, then each alone."""
    channels = list(dict.fromkeys(data["channel"]))
    sets = [channels, *([name] for name in channels)] if len(channels) > 1 else [channels]
    return [(tile, members) for tile in dict.fromkeys(data["tile"]) for members in sets]


@styled
def draw(data: pd.DataFrame) -> Figure:
    """The figure: for each tile one row with all channels in colour and one row per channel in white.

    Columns: masked input (masked patches grey), reconstructions with the epoch above and the error on masked pixels
    below (mean over the channels in the coloured row), target. `data` is what `prepare` returns, or its csv read back.
    """
    channels = list(dict.fromkeys(data["channel"]))
    labels = data.drop_duplicates("channel").set_index("channel")["channel_label"]
    heads = data.drop_duplicates(["panel", "epoch"])[["panel", "epoch"]].to_dict("records")
    rows = _rows(data)
    side = (PAGE - 0.45) / len(heads) - 0.05
    figure = new_figure(PAGE, len(rows) * (side + 0.13) + (0.38 if len(channels) > 1 else 0.2))
    figure.get_layout_engine().set(w_pad=0.012, h_pad=0.012, wspace=0.005, hspace=0.005)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(rows), len(heads), squeeze=False)
    lookup = dict(list(data.groupby(["tile", "panel", "epoch", "channel"])))
    for i, (tile, members) in enumerate(rows):
        for j, head in enumerate(heads):
            blocks = {name: lookup[tile, head["panel"], head["epoch"], name].sort_values("y") for name in members}
            _panel(grid[i, j], blocks)
            if i == 0:
                names = {"masked": "Masked input", "target": "Target"}
                grid[i, j].set_title(names.get(head["panel"], f"Epoch {head['epoch']}"), pad=3, fontsize=6.5)
            if j == 0:
                together = len(members) > 1 or len(channels) == 1
                text = str(blocks[members[0]]["name"].iloc[0]) if together else str(labels[members[0]])
                weight = "bold" if together else "normal"
                grid[i, j].set_ylabel(text.replace(" ", "\n"), fontsize=6, fontweight=weight, labelpad=3)
    if len(channels) > 1:
        tints = [channel_colour(name, channels) for name in channels]
        handles = [Patch(facecolor=tint, label=labels[name]) for tint, name in zip(tints, channels, strict=True)]
        handles.append(Patch(facecolor=(_MASK_GREY,) * 3, label="Masked"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1, handleheight=1)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from pretrain/{run}/snapshots.npz of the first run."""
    data = prepare(read_snapshots(files["snapshots"][0]), options=settings.options)
    return Drawn(draw(data), data)
