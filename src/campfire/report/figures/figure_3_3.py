"""Figure 3.3: masked input, reconstructions as training goes on, and the tile to be reconstructed."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from campfire.core.columns import PAPER_CHANNELS, PLATE, WELL
from campfire.core.errors import DataError
from campfire.report.figures.style import GREY, PAGE, Drawn, channel_colour, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.render import number

MASKED = -1
"""Value of a masked pixel in the data; visible ones are 0 to 255."""
_MASK_GREY = 0.24


def read_snapshots(path: str | Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of pretrain/{run}/snapshots.npz; a missing, damaged or empty file is a DataError that names it."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; run the pretraining that writes it") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not a readable npz file ({error}); delete it and run its pretraining again"
        ) from error
    missing = {"epochs", "target", "masked", "reconstruction", "channels"} - set(arrays)
    if missing or not arrays["target"].size:
        lack = f"lacks `{min(missing)}`" if missing else "holds no tile; set snapshot_tiles above 0"
        raise DataError(f"{path}: {lack}; run its pretraining again")
    return arrays


def _masked_pixels(arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """(S, C, H, W), true where the model did not see the pixel."""
    target = arrays["target"]
    if "mask" in arrays:
        return np.broadcast_to(arrays["mask"].astype(bool), target.shape)
    return np.asarray(arrays["masked"] != target)


def prepare(
    arrays: dict[str, NDArray[np.generic]], tiles: int = 4, epochs: int = 6, percentiles: Sequence[float] = (0.5, 99.7)
) -> pd.DataFrame:
    """What is drawn, one row per pixel row of a channel of a panel, from `read_snapshots`.

    tiles, epochs: at most so many, the epochs spread evenly from the first to the last. Intensities are scaled from 0
    to 255 between the `percentiles` of the target's channel, the same for every panel of that tile; a masked pixel is
    -1. Reconstructions show what the model saw as it was given: where the loss counts masked pixels alone, nothing
    asks for the others, and what is predicted there means nothing. Columns: tile, name (plate and well), panel (masked,
    reconstruction, target), epoch, channel, error (mean squared error over masked pixels of all channels, normalised
    units, of reconstructions), y, x0 to x<W-1>.
    """
    target = np.asarray(arrays["target"], dtype=np.float32)[:tiles]
    hidden = _masked_pixels(arrays)[:tiles]
    reconstruction = np.asarray(arrays["reconstruction"], dtype=np.float32)[:, :tiles]
    steps = np.asarray(arrays["epochs"]).astype(int)
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(epochs, len(steps))).round().astype(int))
    channels = [str(name) for name in arrays["channels"]]
    low, high = np.percentile(target, list(percentiles), axis=(2, 3), keepdims=True)  # (tiles, C, 1, 1) each
    span = np.maximum(high - low, 1e-6)

    def shades(images: NDArray[np.float32]) -> NDArray[np.int16]:
        return np.asarray(np.clip((images - low) / span * 255, 0, 255).round(), dtype=np.int16)

    panels = [("masked", -1, np.where(hidden, MASKED, shades(target)), None)]
    for i in chosen:
        error = ((reconstruction[i] - target) ** 2 * hidden).sum((1, 2, 3)) / np.maximum(hidden.sum((1, 2, 3)), 1)
        panels.append(("reconstruction", int(steps[i]), shades(np.where(hidden, reconstruction[i], target)), error))
    panels.append(("target", -1, shades(target), None))

    names = [f"tile {i + 1}" for i in range(len(target))]
    if PLATE in arrays and WELL in arrays:
        names = [f"{plate} {well}" for plate, well in zip(arrays[PLATE], arrays[WELL], strict=True)][: len(target)]
    height, width = target.shape[2:]
    blocks = []
    for i, name in enumerate(names):
        for panel, epoch, images, errors in panels:
            for c, channel in enumerate(channels):
                block = pd.DataFrame(images[i, c], columns=[f"x{x}" for x in range(width)])
                head = pd.DataFrame({"tile": i, "name": name, "panel": panel, "epoch": epoch}, index=range(height))
                head["channel"], head["error"] = channel, float("nan") if errors is None else float(errors[i])
                head["y"] = range(height)
                blocks.append(pd.concat([head, block], axis=1))
    return pd.concat(blocks, ignore_index=True)


def _composite(images: dict[str, NDArray[np.int16]]) -> NDArray[np.float64]:
    """(H, W, 3): the channels' colours added up; a pixel masked in every channel is grey."""
    shape = next(iter(images.values())).shape
    colour, hidden = np.zeros((*shape, 3)), np.ones(shape, dtype=bool)
    for channel, image in images.items():
        # A single channel is shown in white; colours only serve to tell channels apart.
        tint = channel_colour(channel, list(images)) if len(images) > 1 else (1.0, 1.0, 1.0)
        colour += np.maximum(image, 0)[..., None] / 255 * np.array(tint)
        hidden &= image == MASKED
    colour[hidden] = _MASK_GREY
    return np.asarray(np.clip(colour, 0, 1))


@styled
def draw(data: pd.DataFrame, mode: str = "composite") -> Figure:
    """Tiles in rows (mode "composite": channels added in colour; "channels": a row per channel, in white).

    Columns: masked input (masked patches grey), reconstructions with the epoch above and the error on masked pixels
    below, target. `data` is what `prepare` returns, or its csv read back.
    """
    pixels = [column for column in data.columns if column.startswith("x") and column[1:].isdigit()]
    channels = list(dict.fromkeys(data["channel"]))
    heads = data.drop_duplicates(["panel", "epoch"])[["panel", "epoch"]].to_dict("records")
    tiles = list(dict.fromkeys(data["tile"]))
    sets = [channels] if mode == "composite" else [[channel] for channel in channels]
    rows = [(tile, members) for tile in tiles for members in sets]
    side = (PAGE - 0.3) / len(heads) - 0.06
    coloured = mode == "composite" and len(channels) > 1
    figure = new_figure(PAGE, len(rows) * (side + 0.05) + len(tiles) * 0.12 + (0.38 if coloured else 0.2))
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.01, hspace=0.01)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(rows), len(heads), squeeze=False)
    lookup = dict(list(data.groupby(["tile", "panel", "epoch", "channel"])))
    for i, (tile, members) in enumerate(rows):
        for j, head in enumerate(heads):
            blocks = {name: lookup[tile, head["panel"], head["epoch"], name].sort_values("y") for name in members}
            image = _composite({name: block[pixels].to_numpy(np.int16) for name, block in blocks.items()})
            axes = grid[i, j]
            axes.imshow(image, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if i == 0:
                names = {"masked": "Masked input", "target": "Target"}
                axes.set_title(names.get(head["panel"], f"Epoch {head['epoch']}"), pad=3, fontsize=6.5)
            first = blocks[members[0]].iloc[0]
            if head["panel"] == "reconstruction" and members[0] == channels[0]:
                axes.set_xlabel(number(float(first["error"])), fontsize=5.5, color=GREY, labelpad=2)
            if j == 0:
                what = "" if len(members) > 1 else PAPER_CHANNELS.get(members[0], members[0])
                label = f"{first['name']}\n{what}".strip() if members[0] == channels[0] else what
                axes.set_ylabel(label, fontsize=5, color=GREY, labelpad=3)
    if coloured:
        tints = [channel_colour(name, channels) for name in channels]
        channel_names = [PAPER_CHANNELS.get(name, name) for name in channels]
        handles = [Patch(facecolor=tint, label=name) for tint, name in zip(tints, channel_names, strict=True)]
        handles.append(Patch(facecolor=(_MASK_GREY,) * 3, label="Masked"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1, handleheight=1)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from pretrain/{run}/snapshots.npz of the first run."""
    data = prepare(read_snapshots(files["snapshots"][0]))
    return Drawn(draw(data), data)
