"""Figure 2.2: the architecture of the model that was pretrained, drawn from its own configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from numpy.typing import NDArray

from campfire.core.random import keyed_generator
from campfire.model.config import ModelConfig
from campfire.report.figures.style import BLUE, GREY, INK, ORANGE, PAGE, Drawn, channel_colour, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions

EMBEDDINGS = {
    "global": "mean of the channel's patch embeddings over the global batch",
    "batch": "mean of the channel's patch embeddings over the batch of a process",
    "sample": "mean of the channel's patch embeddings in the tile itself",
    "learned": "one learned vector per channel",
}
ROPE = {"none": "", "mixed": ", mixed\nrotary (learned frequencies)", "axial": ", axial rotary"}
SEED = 4
MIDDLE, SIDE, STEP = 1.55, 0.75, 0.11
"""Height of the row of squares, their side, and the shift between channels, in inches."""


def prepare(config: ModelConfig, channels: Sequence[str], options: TableOptions) -> pd.DataFrame:
    """The content of the figure, one row per fact: part (tile, patches, encoder, channel, …), name, value."""
    facts: list[tuple[str, str, object]] = [
        *(("tile", f"channel {i + 1}", name) for i, name in enumerate(channels)),
        *(("tile", f"label {i + 1}", options.channel_name(name)) for i, name in enumerate(channels)),
        ("tile", "size", config.image_size),
        ("patches", "size", config.patch_size),
        ("patches", "grid", config.grid),
        ("patches", "visible", config.kept),
        ("patches", "synchronised", int(config.sync_mask)),
        ("encoder", "width", config.encoder_width),
        ("encoder", "blocks", config.encoder_depth),
        ("encoder", "heads", config.encoder_heads),
        ("encoder", "tokens", 1 + len(channels) * config.kept),
        ("encoder", "positions", f"sin-cos{ROPE[config.rope]}"),
        ("embedding", "width", config.encoder_width),
        ("channel", "embedding", EMBEDDINGS[config.channel_embedding]),
        ("channel", "spread", int(config.context_width > config.encoder_width)),
        ("decoder", "width", config.decoder_width),
        ("decoder", "blocks", config.decoder_depth),
        ("decoder", "heads", config.decoder_heads),
        ("decoder", "shared", int(config.decoder == "shared")),
    ]
    return pd.DataFrame(facts, columns=["part", "name", "value"]).astype({"value": str})


@dataclass(frozen=True)
class _Facts:
    """The data of the figure, looked up by part and name."""

    values: dict[tuple[str, str], str]

    def __getitem__(self, key: tuple[str, str]) -> str:
        return self.values[key]

    def number(self, part: str, name: str) -> int:
        return int(self.values[part, name])

    def listed(self, name: str) -> list[str]:
        """Values named `name 1`, `name 2` and so on."""
        count = sum(part == "tile" and key.startswith(f"{name} ") for part, key in self.values)
        return [self.values["tile", f"{name} {i + 1}"] for i in range(count)]

    def size(self, part: str) -> str:
        """Blocks, width and heads of the encoder or decoder."""
        blocks = self.number(part, "blocks")
        return f"{blocks} block{'s' if blocks > 1 else ''}, width {self[part, 'width']},\n{self[part, 'heads']} heads"


def _masks(facts: _Facts, channels: int) -> NDArray[np.bool_]:
    """(C, grid, grid), true where a patch is visible, drawn as in training."""
    grid, kept = facts.number("patches", "grid"), facts.number("patches", "visible")
    generator = keyed_generator(SEED)
    masks = np.zeros((channels, grid * grid), dtype=bool)
    chosen = generator.permutation(grid * grid)[:kept]
    for mask in masks:
        mask[chosen] = True
        if not facts.number("patches", "synchronised"):
            chosen = generator.permutation(grid * grid)[:kept]
    return masks.reshape(channels, grid, grid)


def _square(axes: Axes, x: float, y: float, side: float, colour: Any, level: int, **more: Any) -> None:
    axes.add_patch(Rectangle((x, y), side, side, facecolor=colour, zorder=level, **more))


def _channels(axes: Axes, x: float, facts: _Facts) -> None:
    """The channels of a tile as overlapping squares with their names, the first in front."""
    channels, names = facts.listed("channel"), facts.listed("label")
    for i in reversed(range(len(channels))):
        left, low = x + i * STEP, MIDDLE - SIDE / 2 + i * STEP
        red, green, blue = (0.6 * part + 0.08 for part in channel_colour(channels[i], channels))
        _square(axes, left, low, SIDE, (red, green, blue), 10 - i, edgecolor=INK, lw=0.5)
        if i == 0:
            middle = left + SIDE / 2, low + SIDE / 2
            axes.text(*middle, names[0], ha="center", va="center", color="white", fontsize=6, zorder=12)
        else:
            top = left + SIDE - 0.03, low + SIDE - STEP / 2
            axes.text(*top, names[i], ha="right", va="center", color="white", fontsize=5.5, zorder=12)


def _patches(axes: Axes, x: float, facts: _Facts) -> None:
    """The same squares cut into patches: visible ones in colour, masked ones grey."""
    channels = facts.listed("channel")
    masks = _masks(facts, len(channels))
    grid = masks.shape[1]
    cell = SIDE / grid
    for i in reversed(range(len(channels))):
        left, low = x + i * STEP, MIDDLE - SIDE / 2 + i * STEP
        for row, column in np.ndindex(grid, grid):
            colour = channel_colour(channels[i], channels) if masks[i, row, column] else "#BFBFBF"
            place = left + column * cell, low + (grid - 1 - row) * cell
            _square(axes, *place, cell, colour, 10 - i, edgecolor="white", lw=0.25)


def _box(
    axes: Axes, corner: tuple[float, float], size: tuple[float, float], title: str, text: str, colour: str
) -> None:
    for face, alpha, line in ((colour, 0.16, 0.0), ("none", 1.0, 0.9)):
        style = "round,pad=0.02,rounding_size=0.06"
        axes.add_patch(
            FancyBboxPatch(corner, *size, boxstyle=style, facecolor=face, alpha=alpha, edgecolor=colour, lw=line)
        )
    middle, top = corner[0] + size[0] / 2, corner[1] + size[1]
    axes.text(middle, top - 0.08, title, ha="center", va="top", fontweight="bold", fontsize=7)
    axes.text(middle, top - 0.27, text, ha="center", va="top", fontsize=6, linespacing=1.35)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=7, lw=0.9, color=GREY, shrinkA=0, shrinkB=0)
    )


def _channel_embedding(axes: Axes, facts: _Facts) -> None:
    text = facts["channel", "embedding"]
    spread = " and their spread" if facts.number("channel", "spread") else ""
    _box(axes, (2.72, 0.12), (2.98, 0.5), "Channel embedding", f"{text}{spread}", GREY)
    _arrow(axes, (5.1, 0.66), (5.1, MIDDLE - 0.64))
    if text != EMBEDDINGS["learned"]:
        axes.plot([1.9, 1.9], [MIDDLE - 0.95, 0.37], color=GREY, lw=0.9)
        _arrow(axes, (1.9, 0.37), (2.66, 0.37))


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Tile, masked patches, encoder, decoder and reconstruction from left to right; `data` is that of `prepare`."""
    rows = zip(data["part"], data["name"], data["value"], strict=True)
    facts = _Facts({(str(part), str(name)): str(value) for part, name, value in rows})
    figure = new_figure(PAGE, 2.75)
    axes = figure.add_subplot()
    axes.set_xlim(0, PAGE + 0.1)
    axes.set_ylim(0, 2.7)
    axes.set_axis_off()
    count, size = len(facts.listed("channel")), facts["tile", "size"]
    below: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 6}
    _channels(axes, 0.05, facts)
    axes.text(0.45, MIDDLE - 0.5, f"{count} channel{'s' if count > 1 else ''},\n{size} × {size} px", **below)
    _patches(axes, 1.45, facts)
    where = "same positions in all channels" if facts.number("patches", "synchronised") else "drawn channel by channel"
    patch, total = facts["patches", "size"], facts.number("patches", "grid") ** 2
    text = f"{total} patches of {patch} × {patch} px,\n{facts['patches', 'visible']} visible,\n{where}"
    axes.text(1.9, MIDDLE - 0.5, text, **below)
    tokens = f"{facts['encoder', 'tokens']} tokens: class and visible\npatches of all channels"
    encoder = f"{facts.size('encoder')}\n{tokens}\npositions: {facts['encoder', 'positions']}"
    _box(axes, (2.72, MIDDLE - 0.6), (1.25, 1.25), "Encoder", encoder, BLUE)
    shared = facts.number("decoder", "shared")
    whose = "shared by all channels" if shared else "one per channel"
    decoder = f"{facts.size('decoder')}\nvisible and mask tokens,\n{whose}"
    _box(axes, (4.5, MIDDLE - 0.6), (1.2, 1.25), "Decoder", decoder, ORANGE)
    _channels(axes, 6.05, facts)
    axes.text(6.45, MIDDLE - 0.5, "Reconstruction", **below)
    for start, end in ((1.22, 1.4), (2.48, 2.68), (4.01, 4.46), (5.74, 6.0)):
        _arrow(axes, (start, MIDDLE + 0.05), (end, MIDDLE + 0.05))
    if shared:
        _channel_embedding(axes, facts)
    _arrow(axes, (3.34, MIDDLE + 0.69), (3.34, MIDDLE + 0.86))
    words = f"Embedding of the cell: mean of the patch tokens, {facts['embedding', 'width']} values"
    axes.text(3.34, MIDDLE + 0.9, words, ha="center", va="bottom", fontsize=6)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the model's configuration and the channels of pretraining."""
    data = prepare(ModelConfig(**settings.model), settings.channels, settings.options)
    return Drawn(draw(data), data)
