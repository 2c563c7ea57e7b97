"""Two-dimensional maps of wells and of cells: do compounds cluster, or plates, batches and well positions?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure

from campfire.core.columns import BATCH, COMPOUND, NUCLEUS, PLATE, SITE, WELL
from campfire.core.files import read_table
from campfire.encoders import embedding_table
from campfire.evaluation.profiles.maps import MOST_CELLS, Points, Unit, axis_limits, map_points, principal_components
from campfire.report.figures.figure_2_1 import NAMES
from campfire.report.figures.style import CYCLE, GREY, PAGE, PALE, SPLIT_COLOURS, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.profiles import REPRESENTATIONS
from campfire.screen.leave_out import drop
from campfire.screen.wells import row_letters, well_name, well_position

MARKERS = "oDs^vPX*"
MOST_COLOURS = len(CYCLE)
UNITS: Mapping[str, str] = {"well": "Wells", "cell": "Cells"}
SIZES = {"well": 9.0, "cell": 2.2}
"""Areas of the markers, in square points."""
ALPHA = {"well": 0.9, "cell": 1.0}
MARGIN = 0.04
"""Share of an axis beyond its points at either end."""
RAMP = "viridis"
STOPS = 4
"""Rows or columns that the legend names."""


def read_points(files: Files, settings: Settings, most_cells: int) -> dict[tuple[Unit, str], Points]:
    """`map_points` of the embeddings and split/wells.parquet among the inputs of a figure."""
    plates = (embedding_table.read(path) for path in files["embeddings"])
    wells = drop(read_table(files["wells"][0]), settings.leave_out)
    return map_points(plates, wells, settings.controls[0], most_cells)


def prepare(
    points: Mapping[tuple[Unit, str], Points], controls: tuple[str, ...], encoder: str, options: TableOptions
) -> pd.DataFrame:
    """One row per point and map: encoder, unit (well, cell), representation, plate, well, site and nucleus (of cells),
    batch, split, compound, label (of control compounds; empty for others), row and column of the well (from 0), pc1,
    pc2, share1, share2 (of the variance)."""
    parts = []
    for (unit, kind), (table, x) in points.items():
        scores, share = principal_components(x)
        names = table[COMPOUND].map(lambda c: options.compound_name(c) if c in controls else "")
        own = table.reindex(columns=[PLATE, WELL, SITE, NUCLEUS, BATCH, "split", COMPOUND])
        places = own[WELL].astype(str).map(_position)
        own = own.assign(label=names, row=places.str[0], column=places.str[1])
        own = own.assign(pc1=scores[:, 0], pc2=scores[:, 1], share1=share[0], share2=share[1])
        own.insert(0, "encoder", encoder)
        own.insert(1, "unit", unit)
        own.insert(2, "representation", kind)
        parts.append(own.astype({SITE: object, NUCLEUS: "Int64", "row": "Int64", "column": "Int64"}))
    return pd.concat(parts, ignore_index=True)


def _position(well: str) -> tuple[int | None, int | None]:
    """Row and column of a well, from 0; none for a name of another form, which tables made elsewhere may have."""
    return well_position(well) if well_name(well) == well else (None, None)


@dataclass(frozen=True)
class _Colouring:
    """A column of the figure: the group of each point, and how groups are drawn."""

    title: str
    groups: pd.Series
    colours: Mapping[str, str]
    markers: Mapping[str, str] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    """Groups in the legend; empty for all."""


def _by_name(title: str, groups: pd.Series, names: list[str]) -> _Colouring:
    """A colour for each name, with further markers where colours run out."""
    colours = {name: CYCLE[i % MOST_COLOURS] for i, name in enumerate(names)}
    markers = {name: MARKERS[i // MOST_COLOURS % len(MARKERS)] for i, name in enumerate(names)}
    return _Colouring(title, groups, colours, markers)


def _by_position(title: str, values: pd.Series, letters: bool) -> _Colouring:
    """A ramp from the first row or column to the last; the legend names a few."""
    places = sorted(int(value) for value in values.dropna().unique())
    names = {place: row_letters(place) if letters else str(place + 1) for place in places}
    scale = Normalize(min(places, default=0), max([*places, 1]))
    colours = {name: to_hex(colormaps[RAMP](scale(place))) for place, name in names.items()}
    stops = np.unique(np.linspace(0, len(places) - 1, STOPS).round().astype(int)) if places else []
    groups = values.map(names).fillna("").astype(str)
    return _Colouring(title, groups, colours, named=tuple(names[places[stop]] for stop in stops))


def _colourings(data: pd.DataFrame) -> list[_Colouring]:
    """The columns of the figure."""
    compounds = sorted({name for name in data["label"] if name}, key=lambda name: (name != "DMSO", name))
    several = len(set(data[BATCH])) > 1
    technical = data[BATCH if several else PLATE].astype(str)
    titles = {name: title.removeprefix("Test: ") for name, title in NAMES.items()}
    split_colours = {titles[name]: SPLIT_COLOURS[name] for name in NAMES} | {titles["val"]: GREY}
    return [
        _by_name("Control compound", data["label"], compounds),
        _by_name("Batch" if several else "Plate", technical, sorted(set(technical))),
        _by_position("Well row", data["row"], letters=True),
        _by_position("Well column", data["column"], letters=False),
        _Colouring("Part of the split", data["split"].map(titles).astype(str), split_colours),
    ]


def _draw_points(axes: Axes, rows: pd.DataFrame, colouring: _Colouring, unit: str) -> None:
    """The points of a panel; points beyond the axes as open markers on their border."""
    groups = colouring.groups[rows.index]
    limits = [axis_limits(rows[name].to_numpy(float)) for name in ("pc1", "pc2")]
    x, y = (rows[name].clip(*ends) for name, ends in zip(("pc1", "pc2"), limits, strict=True))
    far = (x != rows["pc1"]) | (y != rows["pc2"])
    colours = groups.map(colouring.colours).fillna(PALE)
    markers = groups.map(colouring.markers).fillna("o")
    behind = colours == PALE
    # One collection for all colours of a marker: their points mix, and no group covers another.
    for marker, below, beyond in sorted(set(zip(markers, behind, far, strict=True))):
        chosen = (markers == marker) & (behind == below) & (far == beyond)
        style = {"facecolors": "none", "linewidths": 0.5} if beyond else {"linewidths": 0, "alpha": ALPHA[unit]}
        axes.scatter(
            x[chosen], y[chosen], s=SIZES[unit] * (0.67 if below else 1), marker=marker, zorder=1 if below else 2,
            rasterized=unit == "cell", **{"facecolors": colours[chosen], "edgecolors": colours[chosen]} | style,
        )  # fmt: skip
    (left, right), (bottom, top) = ((low - MARGIN * (high - low), high + MARGIN * (high - low)) for low, high in limits)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(axes: Axes, colouring: _Colouring) -> None:
    """The legend below a column; none for more groups than can be told apart."""
    there = set(colouring.groups)
    names = [name for name in colouring.named or colouring.colours if name in there]
    handles = [
        axes.scatter([], [], s=9, c=colouring.colours[name], marker=colouring.markers.get(name, "o"), linewidths=0)
        for name in names
    ]
    if there - set(colouring.colours):
        handles.append(axes.scatter([], [], s=6, c=PALE, linewidths=0))
        names.append("Other compounds" if colouring.title == "Control compound" else "Not known")
    if len(names) <= 14:
        axes.legend(
            handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=5.5, handletextpad=0.2,
            borderaxespad=0, labelspacing=0.35,
        )  # fmt: skip


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Maps of wells, then of cells, raw and sphered, in rows; in columns the same map in several colourings."""
    data = data.fillna({"label": ""})
    maps = list(dict.fromkeys(zip(data["unit"], data["representation"], strict=True)))
    colourings = _colourings(data)
    figure = new_figure(PAGE, 1.45 * len(maps) + 1.5)
    grid = figure.subplots(len(maps), len(colourings), squeeze=False)
    for i, (unit, kind) in enumerate(maps):
        rows = data[(data["unit"] == unit) & (data["representation"] == kind)]
        for axes, colouring in zip(grid[i], colourings, strict=True):
            _draw_points(axes, rows, colouring, unit)
        share1, share2 = rows[["share1", "share2"]].iloc[0]
        head = f"{UNITS[unit]}, {REPRESENTATIONS.get(kind, kind).lower()}"
        grid[i, 0].set_ylabel(f"{head}\nPC 2 ({100 * share2:.0f} %)")
        grid[i, 0].set_xlabel(f"PC 1 ({100 * share1:.0f} %)")
    for column, colouring in zip(grid.T, colourings, strict=True):
        column[0].set_title(colouring.title, pad=4)
        _legend(column[-1], colouring)
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the embeddings of the first encoder on the leading channel set and split/wells.parquet."""
    points = read_points(files, settings, MOST_CELLS)
    data = prepare(points, settings.controls, settings.options.label(settings.encoder), settings.options)
    return Drawn(draw(data), data)
