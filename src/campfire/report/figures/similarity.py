"""How alike compounds look: cosine similarity of their mean profiles, similar ones side by side."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from campfire.core.columns import COMPOUND, PLATE
from campfire.report.figures.embedding_map import read_points
from campfire.report.figures.style import PAGE, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions

MOST_NAMES = 80
"""Most compounds whose names are printed; the csv has all."""


def replicate_means(
    wells: pd.DataFrame, x: NDArray[np.float32]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Compounds, similarity of their mean profiles (K, K), similarity between halves of their own plates (K,).

    x: (W, D) normalised profiles. The halves are every other plate; nan for a compound on a single plate.
    """
    compounds = sorted(set(wells[COMPOUND]))
    plates = sorted(set(wells[PLATE]))
    half = wells[PLATE].map({plate: i % 2 for i, plate in enumerate(plates)}).to_numpy()
    name = wells[COMPOUND].to_numpy()
    means = np.stack([x[name == compound].mean(axis=0, dtype=np.float64) for compound in compounds])
    own = []
    for compound in compounds:
        parts = [x[(name == compound) & (half == side)] for side in (0, 1)]
        own.append(
            _cosine(*(part.mean(axis=0, dtype=np.float64) for part in parts)) if min(map(len, parts)) else np.nan
        )
    units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return compounds, np.clip(units @ units.T, -1, 1), np.array(own, dtype=np.float64)


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def prepare(wells: pd.DataFrame, x: NDArray[np.float32], encoder: str, options: TableOptions) -> pd.DataFrame:
    """One row per pair of compounds, both in drawing order (average linkage of 1 - similarity).

    Columns: encoder, first, second, first_label, second_label, similarity; on the diagonal it is that between halves
    of the compound's own plates, the level of replicates; empty for a compound on one plate.
    """
    compounds, matrix, own = replicate_means(wells, x)
    order = list(range(len(compounds)))
    if len(compounds) > 2:
        distance = np.clip(1 - (matrix + matrix.T) / 2, 0, None)
        np.fill_diagonal(distance, 0)
        order = [int(i) for i in leaves_list(linkage(squareform(distance, checks=False), "average"))]
    np.fill_diagonal(matrix, own)
    matrix, names = matrix[np.ix_(order, order)], [compounds[i] for i in order]
    labels = [options.compound_name(name) for name in names]
    count = len(names)
    return pd.DataFrame(
        {
            "encoder": encoder,
            "first": np.repeat(names, count),
            "second": np.tile(names, count),
            "first_label": np.repeat(labels, count),
            "second_label": np.tile(labels, count),
            "similarity": matrix.ravel(),
        }
    )


@styled
def draw(data: pd.DataFrame) -> Figure:
    """The matrix with one colour scale from -1 to 1; `data` is from `prepare`."""
    names = list(dict.fromkeys(data["first"]))
    labels = [str(label) for label in data.drop_duplicates("first")["first_label"]]
    matrix = data["similarity"].to_numpy().reshape(len(names), len(names))
    side = float(np.clip(0.17 * len(names) + 1.2, 3.2, PAGE - 0.8))
    figure = new_figure(side + 0.9, side)
    axes = figure.add_subplot()
    axes.set_facecolor("#EDEDED")
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if len(names) <= MOST_NAMES:
        size = 6.2 if len(names) <= 30 else 4.6
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), labels, fontsize=size)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{len(names)} compounds")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, aspect=25)
    bar.set_label("Cosine similarity of mean profiles")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from the embeddings of the first encoder on the leading channel set and split/wells.parquet."""
    points = read_points(files, settings, most_cells=0)
    wells, means = points.get(("well", "sphered")) or points["well", "raw"]
    data = prepare(wells, means, settings.options.label(settings.encoder), settings.options)
    return Drawn(draw(data), data)
