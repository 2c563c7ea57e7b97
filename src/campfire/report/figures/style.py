"""Style of all figures, and saving them.

Sizes are those of a paper's column; colours are safe for colour-blind readers (Okabe and Ito, 2008); text is
embedded (TrueType in the pdf, outlines in the svg); the same data give the same bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from campfire.core.files import atomic_path, write_text
from campfire.report.figures.svg import compact

COLUMN = 3.5
"""Width of one column, in inches."""
PAGE = 7.2
"""Width of a page (two columns), in inches."""
DPI = 200

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
INK, GREY, PALE = "#1A1A1A", "#7A7A7A", "#D9D9D9"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)

SPLIT_COLOURS = {
    "train": "#B8C7D9",
    "val": "#F0E442",
    "test": BLUE,
    "test_ood_plate": SKY,
    "test_ood_compound": ORANGE,
    "test_ood_both": VERMILION,
    "unused": "#EFEFEF",
}
"""Blues are compounds seen in training, oranges held-out ones; stronger colours were seen less."""

CHANNEL_COLOURS = {
    "DNA": (0.20, 0.45, 1.00),
    "AGP": (1.00, 0.72, 0.10),
    "Mito": (1.00, 0.20, 0.62),
    "ER": (0.15, 0.85, 0.65),
    "RNA": (0.80, 0.80, 0.80),
}
"""Additive colours of the channels in composites (red, green, blue from 0 to 1)."""


def channel_colour(channel: str, channels: Sequence[str]) -> tuple[float, float, float]:
    """Additive colour of a channel of `channels`; a channel without an assigned colour takes a free one."""
    if channel in CHANNEL_COLOURS:
        return CHANNEL_COLOURS[channel]
    free = [colour for name, colour in CHANNEL_COLOURS.items() if name not in channels]
    other = [name for name in channels if name not in CHANNEL_COLOURS]
    return free[other.index(channel) % len(free)] if free else (1.0, 1.0, 1.0)


RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # user-supplied names may contain $
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "patch.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "campfire",
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Drawn:
    """A figure and the data that it shows."""

    figure: Figure
    data: pd.DataFrame


P = ParamSpec("P")
T = TypeVar("T")


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run a drawing function under the settings above, whatever the reader's own matplotlib settings are."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(RC)
            return function(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) on the Agg canvas; nothing global is touched."""
    figure = Figure(
        figsize=(width, height),
        dpi=DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0.04, hspace=0.04),
    )
    FigureCanvasAgg(figure)
    return figure


def panel_letter(axes: Axes, letter: str, rise: float = 6) -> None:
    """A bold letter at the upper left of a panel, `rise` points above it."""
    axes.annotate(
        letter, (0, 1), xycoords="axes fraction", xytext=(-18, rise), textcoords="offset points",
        fontsize=9, fontweight="bold", va="bottom", ha="left", annotation_clip=False,
    )  # fmt: skip


@styled
def save(figure: Figure, data: pd.DataFrame, stem: str | Path) -> list[Path]:
    """Write stem.pdf, .svg, .png (200 dpi) and .csv (what is drawn), each atomically; the paths written."""
    stem = Path(stem)
    if figure.get_layout_engine() is not None:
        # Lay out once until it converges: each format would repeat it, which takes seconds for many panels.
        figure.draw_without_rendering()
        figure.draw_without_rendering()
        # Not "none": every format would then be drawn once more to measure it.
        figure.set_layout_engine(None)
    undated: dict[str, dict[str, None]] = {
        "pdf": {"CreationDate": None, "ModDate": None},
        "svg": {"Date": None},
        "png": {"Software": None},
    }
    paths = []
    for suffix, metadata in undated.items():
        path = stem.with_name(f"{stem.name}.{suffix}")
        with atomic_path(path) as partial:
            figure.savefig(partial, format=suffix, dpi=DPI, metadata=metadata)
            if suffix == "svg":
                partial.write_text(compact(partial.read_text(encoding="utf-8")), encoding="utf-8")
        paths.append(path)
    path = stem.with_name(f"{stem.name}.csv")
    write_text(path, data.to_csv(index=False, lineterminator="\n"))
    return [*paths, path]
