"""Mean embeddings of the cells of each well."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names


def group_means(
    groups: NDArray[np.intp], values: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Groups (N,) numbered from 0 and values (N, D) -> groups that occur (G,), their sizes (G,), means (G, D).

    Sums are float64, in the order of the rows.
    """
    counts = np.bincount(groups)
    present = np.flatnonzero(counts)
    order = np.argsort(groups, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts[present])[:-1]])
    sums = np.add.reduceat(np.asarray(values)[order], starts, axis=0, dtype=np.float64)
    return present, counts[present], (sums / counts[present, None]).astype(np.float32)


def well_means(keys: pd.DataFrame, embeddings: NDArray[np.float32]) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Mean embedding of each well, sorted by plate and well.

    keys: (N,) cells, embeddings (N, D) -> wells (W,) with `n_cells`, (W, D) float32.
    """
    wells = keys[names.WELL_KEYS].reset_index(drop=True)
    number = np.asarray(wells.groupby(names.WELL_KEYS, sort=True).ngroup(), np.intp)
    _, counts, means = group_means(number, embeddings)
    table = wells.drop_duplicates().sort_values(names.WELL_KEYS, ignore_index=True)
    return table.assign(n_cells=counts), means
