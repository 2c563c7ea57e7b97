"""Graded retrieval of replicates, from the same batch to another plate layout, and a check for leaks of the layout."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.profiles.precision import reach_over_plates, within
from campfire.evaluation.profiles.retrieval import average_precision, untied
from campfire.evaluation.statistics import BootstrapOptions

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

GRADES: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "same_batch": ([names.COMPOUND, names.BATCH], [names.PLATE]),
    "other_batch": ([names.COMPOUND], [names.BATCH]),
    "other_layout": ([names.COMPOUND], [names.PLATE, names.WELL]),
}
"""Grade -> the columns in which a well and the replicate to retrieve agree, and those in which they differ."""

LAYOUT_LEAK = "layout_leak"
"""Metric of `layout_leak`."""

COLUMNS = ["split", "metric", "value", "low", "high"]


def graded_retrieval(wells: pd.DataFrame, embeddings: Floats, bootstrap: BootstrapOptions) -> pd.DataFrame:
    """Mean average precision above chance of each grade that the wells have: same batch, other batch, other layout.

    wells: (W,) rows with plate, well, compound, and batch where it is known; embeddings (W, D) well means, compared by
    cosine. The grade decides which wells of the compound count as replicates: those on other plates of the same batch;
    of other batches; or on other plates in another well position. Wells of all other compounds are the
    negatives of every grade. Returns rows `split` (empty), `metric` (graded_<grade>), `value`, `low`, `high`; the
    intervals are over plates, none for fewer than three. A grade without a pair of replicates is left out, and so are
    those of batches where every plate is a batch of its own.
    """
    rows = []
    if names.BATCH in wells and wells[names.BATCH].nunique() == wells[names.PLATE].nunique():
        wells = wells.drop(columns=names.BATCH)
    for grade, (same, different) in GRADES.items():
        if not {*same, *different} <= set(wells.columns):
            continue
        rules = (same, different, [names.COMPOUND])
        found = _average_precision(wells, embeddings, *rules)
        if found is None:
            logger.info("profiles: no compound has a pair of wells for the grade %s of retrieval", grade)
            continue
        mean = _mean(found, wells, embeddings, rules, names.COMPOUND, bootstrap.level)
        rows.append({"split": "", "metric": f"graded_{grade}", **mean})
    return pd.DataFrame(rows, columns=COLUMNS)


def layout_leak(wells: pd.DataFrame, embeddings: Floats, bootstrap: BootstrapOptions) -> pd.DataFrame:
    """Mean average precision above chance with which control wells retrieve those of the same position.

    wells: (W,) plate and well of wells of one treatment, the negative control; embeddings (W, D) well means. Only wells
    of other plates are ranked: those of the same position against those of all others. A value of 0 is chance; above
    it, embeddings encode the position of a well, and a compound that has the same position on all plates can be
    recognised by it. One row as of `graded_retrieval`; none where no two plates share a position, or all do.
    """
    rules = ([names.WELL], [names.PLATE], [names.WELL, names.PLATE])
    found = _average_precision(wells, embeddings, *rules)
    if found is None:
        return pd.DataFrame(columns=COLUMNS)
    mean = _mean(found, wells, embeddings, rules, names.WELL, bootstrap.level)
    return pd.DataFrame([{"split": "", "metric": LAYOUT_LEAK, **mean}])[COLUMNS]


def _average_precision(
    wells: pd.DataFrame, embeddings: Floats, same: Sequence[str], different: Sequence[str], negatives: Sequence[str]
) -> pd.DataFrame | None:
    """`average_precision` of the wells that have both positives and negatives; None where none has."""
    table = average_precision(wells, embeddings, same, different, negatives)
    if table is None:
        return None
    table = table[(table["n_pos_pairs"] > 0) & (table["n_total_pairs"] > table["n_pos_pairs"])]
    return None if table.empty else table.reset_index(drop=True)


def _mean(
    table: pd.DataFrame,
    wells: pd.DataFrame,
    embeddings: Floats,
    rules: tuple[Sequence[str], Sequence[str], Sequence[str]],
    stratum: str,
    level: float,
) -> dict[str, float]:
    """Mean over strata of the precision above chance, with its interval over plates."""
    value = float(table.groupby(stratum)["normalized_average_precision"].mean().mean())
    half = reach_over_plates(wells, untied(embeddings), rules, stratum, level)[1]
    return {"value": value, **within(value, half)}
