"""Two-dimensional maps of well profiles: do compounds cluster, or plates and batches?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from campfire.core.columns import BATCH, COMPOUND, PLATE, WELL, WELL_KEYS
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.encoders import embedding_table
from campfire.evaluation.profiles.normalise import whitening
from campfire.evaluation.well_means import well_means
from campfire.report.figures.figure_2_1 import NAMES
from campfire.report.figures.style import CYCLE, GREY, PAGE, PALE, SPLIT_COLOURS, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.profiles import REPRESENTATIONS
from campfire.screen.leave_out import LeaveOut, drop

SHRINKAGE = 0.01
"""Share of the mean variance mixed into the covariance of the controls, as `normalise` does."""
MARKERS = "oDs^vPX*"
MOST_COLOURS = len(CYCLE)


@dataclass(frozen=True)
class _Plate:
    """Summary of a plate: wells, their mean embeddings raw and scaled by its controls, and its control cells."""

    wells: pd.DataFrame
    raw: NDArray[np.float32]
    scaled: NDArray[np.float32]
    controls: NDArray[np.float64]


def _plate(keys: pd.DataFrame, embeddings: NDArray[np.float32], wells: pd.DataFrame, negative: str) -> _Plate | None:
    """Centre and scale one plate by its negative control, as `normalise` does; None without a known well."""
    cells = keys[WELL_KEYS].merge(wells[[*WELL_KEYS, COMPOUND]], on=WELL_KEYS, how="left", validate="many_to_one")
    known = cells[COMPOUND].notna().to_numpy()
    if not known.any():
        return None
    cells, x = cells[known].reset_index(drop=True), embeddings[known].astype(np.float64)
    table, raw = well_means(cells, embeddings[known])
    reference = x[(cells[COMPOUND] == negative).to_numpy()]
    if len(reference) < 2:
        return _Plate(table, raw, np.empty((0, 0), np.float32), reference)
    centre, spread = reference.mean(axis=0), reference.std(axis=0)
    spread = np.where(spread > 1e-8, spread, 1)
    return _Plate(table, raw, ((raw - centre) / spread).astype(np.float32), (reference - centre) / spread)


def profiles(
    plates: Iterable[tuple[pd.DataFrame, NDArray[np.float32]]], wells: pd.DataFrame, negative: str
) -> dict[str, tuple[pd.DataFrame, NDArray[np.float32]]]:
    """Representation (raw, sphered) -> wells with compound, batch and split, and their mean embeddings (W, D).

    plates: keys (N,) and embeddings (N, D) of the cells, plate by plate, so that only one is in memory: sphering is
    linear, so a well's mean can be sphered like its cells. wells: split/wells.parquet; negative:
    the negative control. If a plate has fewer than two of its cells, only `raw` is returned.
    """
    found = [plate for keys, x in plates if (plate := _plate(keys, x, wells, negative))]
    if not found:
        raise DataError("embeddings: no cell lies in a well of split/wells.parquet")
    columns = [*WELL_KEYS, COMPOUND, BATCH, "split"]
    table = pd.concat([plate.wells for plate in found], ignore_index=True)
    table = table.merge(wells[columns], on=WELL_KEYS, how="left", validate="one_to_one")
    representations = {"raw": (table, np.concatenate([plate.raw for plate in found]))}
    if all(len(plate.scaled) for plate in found):
        matrix = whitening(np.concatenate([plate.controls for plate in found]), SHRINKAGE)
        sphered = np.concatenate([plate.scaled for plate in found]) @ matrix
        representations["sphered"] = (table, sphered.astype(np.float32))
    return representations


def read_profiles(
    files: Files, negative: str, leave_out: LeaveOut
) -> dict[str, tuple[pd.DataFrame, NDArray[np.float32]]]:
    """`profiles` of the embeddings and split/wells.parquet among the inputs of a figure."""
    plates = (embedding_table.read(path) for path in files["embeddings"])
    return profiles(plates, drop(read_table(files["wells"][0]), leave_out), negative)


def principal_components(x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(W, D) -> scores on the first two components (W, 2), shares of the variance (2,); signs are fixed."""
    centred = x - x.mean(axis=0, dtype=np.float64)
    left, scale, right = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    scores = (left * scale * signs)[:, :2]
    if scores.shape[1] < 2:
        scores = np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))
    share = scale**2 / max(float((scale**2).sum()), 1e-12)
    return scores, np.pad(share, (0, 2))[:2]


def prepare(
    found: dict[str, tuple[pd.DataFrame, NDArray[np.float32]]],
    controls: tuple[str, ...],
    encoder: str,
    options: TableOptions,
) -> pd.DataFrame:
    """One row per well and representation: encoder, representation, plate, well, batch, split, compound, label (of
    control compounds; empty for others), pc1, pc2, share1, share2 (of the variance)."""
    parts = []
    for kind, (wells, means) in found.items():
        scores, share = principal_components(means)
        names = wells[COMPOUND].map(lambda c: options.compound_name(c) if c in controls else "")
        table = wells[[PLATE, WELL, BATCH, "split", COMPOUND]].assign(label=names, pc1=scores[:, 0], pc2=scores[:, 1])
        parts.append(table.assign(encoder=encoder, representation=kind, share1=share[0], share2=share[1]))
    return pd.concat(parts, ignore_index=True)


def _points(
    axes: Axes, rows: pd.DataFrame, groups: pd.Series, colours: dict[str, str], markers: dict[str, str]
) -> None:
    known = [name for name in colours if (groups == name).any()]
    for name in [*known, *(other for other in dict.fromkeys(groups) if other not in colours)]:
        chosen = rows[groups == name]
        marker = markers.get(name, "o")
        behind = colours.get(name, PALE) == PALE
        axes.scatter(
            chosen["pc1"], chosen["pc2"], s=9 if not behind else 6, c=colours.get(name, PALE), marker=marker,
            linewidths=0, alpha=0.9, label=name or "Other compounds", zorder=1 if behind else 2,
        )  # fmt: skip


def _styles(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """A colour for each name, with further markers where colours run out."""
    colours = {name: CYCLE[i % MOST_COLOURS] for i, name in enumerate(names)}
    markers = {name: MARKERS[i // MOST_COLOURS % len(MARKERS)] for i, name in enumerate(names)}
    return colours, markers


def _colourings(data: pd.DataFrame) -> list[tuple[str, pd.Series, dict[str, str], dict[str, str]]]:
    """Title, group of each row, colours and markers of the columns of the figure."""
    compounds = sorted({name for name in data["label"] if name}, key=lambda name: (name != "DMSO", name))
    several = len(set(data[BATCH])) > 1
    technical = data[BATCH if several else PLATE].astype(str)
    titles = {name: title.removeprefix("Test: ") for name, title in NAMES.items()}
    splits = data["split"].map(titles).astype(str)
    split_colours = {titles[name]: SPLIT_COLOURS[name] for name in NAMES} | {titles["val"]: GREY}
    return [
        ("Control compounds", data["label"], *_styles(compounds)),
        ("Batch" if several else "Plate", technical, *_styles(sorted(set(technical)))),
        ("Part of the split", splits, split_colours, {}),
    ]


@styled
def draw(data: pd.DataFrame) -> Figure:
    """Representations in rows; in columns the same map coloured by compound, batch (or plate), part of the split."""
    data = data.fillna({"label": ""})
    kinds = list(dict.fromkeys(data["representation"]))
    figure = new_figure(PAGE, 2.35 * len(kinds) + 1.0)
    grid = figure.subplots(len(kinds), 3, squeeze=False)
    for j, (title, groups, colours, markers) in enumerate(_colourings(data)):
        for i, kind in enumerate(kinds):
            axes, rows = grid[i, j], data["representation"] == kind
            _points(axes, data[rows], groups[rows], colours, markers)
            axes.set_xticks([])
            axes.set_yticks([])
            shares = data.loc[rows, ["share1", "share2"]].iloc[0]
            axes.set_xlabel(f"PC 1 ({100 * shares['share1']:.0f} %)")
            text = f"PC 2 ({100 * shares['share2']:.0f} %)"
            axes.set_ylabel(f"{REPRESENTATIONS.get(kind, kind).capitalize()}\n{text}" if j == 0 else text)
            if i == 0:
                axes.set_title(title, pad=4)
        handles, labels = grid[0, j].get_legend_handles_labels()
        if len(labels) <= 14:
            grid[-1, j].legend(
                handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=1 if len(labels) <= 7 else 2,
                fontsize=6, handletextpad=0.2, columnspacing=0.8, borderaxespad=0,
            )  # fmt: skip
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the embeddings of the first encoder on the leading channel set and split/wells.parquet."""
    found = read_profiles(files, settings.controls[0], settings.leave_out)
    data = prepare(found, settings.controls, settings.options.label(settings.encoder), settings.options)
    return Drawn(draw(data), data)
