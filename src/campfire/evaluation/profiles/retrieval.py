"""Classifiers for few rows, and replicate retrieval."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.core.random import keyed_generator

Floats = NDArray[np.float32]
BLOCK = 1024
TIE = 1e-3
"""Size of the features that decide between equal wells: similarities change by some millionths."""
REPLICATES = ([names.COMPOUND], [names.PLATE], [names.COMPOUND])
"""Columns in which a well and its replicate agree and differ, and in which a well and a negative differ."""


def knn_predict(
    train: Floats, labels: NDArray[np.integer[Any]], queries: Floats, classes: int, neighbours: int = 20
) -> NDArray[np.intp]:
    """Class of each query by the vote of its nearest training rows in cosine similarity; ties go to the nearer class.

    train (N, D), labels (N,) class index, queries (M, D) -> (M,). Votes count 1 + similarity / (2 k), so that
    similarity decides only between classes with equally many neighbours.
    """
    if len(train) == 0:
        raise DataError("profiles: no training cells for nearest neighbours; check the split and sample tables")
    count = min(neighbours, len(train))
    a, b = _unit(train), _unit(queries)
    out = np.empty(len(b), np.intp)
    for start in range(0, len(b), BLOCK):
        similar = b[start : start + BLOCK] @ a.T
        nearest = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        votes = np.zeros((len(similar), classes))
        weight = 1 + np.take_along_axis(similar, nearest, axis=1) / (2 * count)
        np.add.at(votes, (np.arange(len(similar))[:, None], labels[nearest]), weight)
        out[start : start + BLOCK] = votes.argmax(axis=1)
    return out


def logistic_predict(
    train: Floats, labels: NDArray[np.integer[Any]], queries: Floats, regularisation: float = 1.0
) -> NDArray[np.intp]:
    """Class of each query by multinomial logistic regression with an L2 penalty, trained to convergence.

    train (N, D), labels (N,) class index, queries (M, D) -> (M,). Dimensions are centred and scaled by the training
    rows. Intended for a few hundred rows; `regularisation` is the inverse strength of the penalty.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    centre, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 1e-8, spread, 1)
    # Double precision and one thread give the same bytes on every machine.
    scaled, asked = ((np.asarray(x, np.float64) - centre) / spread for x in (train, queries))
    with threadpool_limits(1):
        model = LogisticRegression(C=regularisation, max_iter=2000).fit(scaled, labels)
        return np.asarray(model.predict(asked), np.intp)


def untied(embeddings: Floats) -> Floats:
    """Embeddings (W, D) for a ranking by cosine similarity in which chance decides between wells exactly alike.

    copairs ranks replicates before other wells of the same similarity, so an encoder whose embeddings are all alike
    would get a perfect score. Where two wells have the same direction, or none (length 0), each well gets a few small
    random features, the same in every run; otherwise the embeddings are returned unchanged.
    """
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    units = _unit(embeddings)
    if lengths.all() and len(np.unique(units, axis=0)) == len(units):
        return embeddings
    return np.concatenate([units, keyed_generator(0).normal(0, TIE, (len(units), 8)).astype(np.float32)], axis=1)


def average_precision(
    wells: pd.DataFrame, embeddings: Floats, same: Sequence[str], different: Sequence[str], negatives: Sequence[str]
) -> pd.DataFrame | None:
    """copairs' average precision of every well by cosine similarity; None without positive or without negative pairs.

    wells: (W,) rows; embeddings (W, D). Positives agree in `same` and differ in `different`; negatives differ in all of
    `negatives`. copairs looks similarities up in a matrix (W, W): by itself it gathers both embeddings of every pair,
    three times the time with 2,400 wells, and 400 MB in each of its threads, one per core of the machine.
    """
    from copairs import map as copairs
    from copairs.matching import UnpairedException

    meta = wells[list(dict.fromkeys([*names.WELL_KEYS, *same, *different, *negatives]))].reset_index(drop=True)
    units = _unit(untied(embeddings))
    similar = units @ units.T
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            table: pd.DataFrame = copairs.average_precision(
                *(meta, np.arange(len(meta))[:, None]),
                *(list(same), list(different), [], list(negatives)),
                distance=lambda first, second: similar[first[:, 0], second[:, 0]],
                progress_bar=False,
            )
    except UnpairedException:
        return None
    return table


def replicate_retrieval(wells: pd.DataFrame, embeddings: Floats) -> pd.DataFrame:
    """Average precision of each well in retrieving its compound's wells on other plates (copairs).

    wells: (W,) rows with plate, well and `Metadata_JCP2022`; embeddings (W, D) well means, compared by cosine.
    Positives are the compound's wells on other plates, negatives the wells of other compounds. Returns the wells
    that have positives with `average_precision` and copairs' `normalized_average_precision` (0 is chance, 1 perfect).
    """
    table = average_precision(wells, embeddings, *REPLICATES)
    if table is None:
        raise DataError("profiles: no compound has wells on two plates, so there are no replicates to retrieve")
    return table[table["n_pos_pairs"] > 0].reset_index(drop=True)


def _unit(x: Floats) -> Floats:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)
