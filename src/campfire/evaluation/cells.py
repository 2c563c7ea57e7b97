"""Checks that a table of embeddings is what it says: a row for each key, all of one length, all finite."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError


def check_rows(keys: pd.DataFrame, embeddings: NDArray[np.float32], where: str) -> None:
    """Raise DataError unless `embeddings` are (N, D) for the N rows of `keys`; `where` begins the message."""
    shape = np.shape(embeddings)
    if len(shape) != 2 or shape[0] != len(keys) or shape[1] == 0:
        raise DataError(
            f"{where}: {len(keys)} cells come with embeddings of shape {shape}; give an array (cells, features) with "
            "one row per cell, in the cells' order"
        )


def check_finite(keys: pd.DataFrame, embeddings: NDArray[np.float32], where: str, which: str = "") -> None:
    """Raise DataError with the first cell whose embedding is not finite; `which` says which cells these are."""
    broken = ~np.isfinite(embeddings).all(axis=1)
    if broken.any():
        first = keys[broken].iloc[0]
        place = ", ".join(f"{name.removeprefix('Metadata_').lower()} {first[name]}" for name in names.CELL_KEYS)
        raise DataError(
            f"{where}: the embeddings of {int(broken.sum())} {which}cells are not finite, first {place}; embed that "
            "plate again, or look at the encoder's weights"
        )
