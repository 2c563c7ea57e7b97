"""From embeddings to the scores and predictions of every fit."""

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.evaluation.probes.folds import Plan, plan
from campfire.evaluation.probes.linear import LinearFits, fit_linear, predict
from campfire.evaluation.probes.metrics import classification_scores
from campfire.evaluation.probes.options import ProbeOptions

logger = logging.getLogger(__name__)

SCORE_COLUMNS = [
    *("protocol", "task", "fit", "split", "accuracy", "balanced_accuracy", "macro_f1"),
    *("n_cells", "n_wells", "n_train", "epochs", "best_epoch"),
]
PREDICTION_COLUMNS = ["protocol", "task", "fit", "split", *names.CELL_KEYS, "truth", "predicted"]


def evaluate(
    keys: pd.DataFrame,
    embeddings: NDArray[np.float32],
    sample: pd.DataFrame,
    options: ProbeOptions | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and score the linear probes of every protocol and task in `sample` (paper section 3.2).

    keys: one row per embedding with the cell keys; embeddings: (N, D) float32 in that order.
    sample: rows of `sample/cells.parquet`; their protocol says how stopping and folds are laid out.
    Returns `scores` (a row per fit and quadrant) and `predictions` (a row per scored cell and fit); columns are
    those of docs/contracts.md, `best_epoch` counts from 1.
    Raises DataError for a sampled cell without an embedding, SplitError where the cells do not suffice.
    """
    options = options or ProbeOptions()
    scores, predictions = [], []
    for group, drawn in sample.groupby(["protocol", "task"], sort=False):
        protocol, task = map(str, group)  # type: ignore[call-overload]
        cells, features, compounds = gather(keys, embeddings, drawn)
        layout = plan(task, options.protocol(protocol), cells, options)
        fits = fit_linear(features, cells["label"].to_numpy(), layout.fits, len(compounds), options)
        weight, bias = fits.weights(options.protocol(protocol).weights)
        rows, guesses = score(cells, features, layout, fits, weight, bias, compounds)
        for table in (rows, guesses):
            table.insert(0, "protocol", protocol)
            table.insert(1, "task", task)
        summary = rows.groupby("split")["accuracy"].mean()
        logger.info(
            "probe %s/%s: %d fits of %d classes, %s",
            protocol,
            task,
            len(layout.fits),
            len(compounds),
            ", ".join(f"{split} {value:.3f}" for split, value in summary.items()),
        )
        scores.append(rows)
        predictions.append(guesses)
    if not scores:
        raise DataError("probes: the sample table has no rows; draw cells for at least one protocol and task")
    return (
        pd.concat(scores, ignore_index=True)[SCORE_COLUMNS],
        pd.concat(predictions, ignore_index=True)[PREDICTION_COLUMNS],
    )


def gather(
    keys: pd.DataFrame, embeddings: NDArray[np.float32], sample: pd.DataFrame
) -> tuple[pd.DataFrame, NDArray[np.float32], list[str]]:
    """Join sampled cells to their embeddings by key.

    Returns the sample in plate order (then order of the draw) with the integer column `label`, the embeddings
    (M, D) of its rows and the compounds in label order (sorted ids).
    """
    sample = sample.sort_values([names.PLATE, "order"], kind="stable").reset_index(drop=True)
    index = pd.MultiIndex.from_frame(keys[names.CELL_KEYS])
    if index.has_duplicates:
        plate, well, site, nucleus = index[index.duplicated()][0]
        raise DataError(f"probes: plate {plate}, well {well}, site {site}, nucleus {nucleus} is embedded twice")
    rows = index.get_indexer(pd.MultiIndex.from_frame(sample[names.CELL_KEYS]))
    if (rows < 0).any():
        first = sample[rows < 0].iloc[0]
        raise DataError(
            f"probes: {int((rows < 0).sum())} sampled cells have no embedding, first plate {first[names.PLATE]}, well "
            f"{first[names.WELL]}, site {first[names.SITE]}, nucleus {first[names.NUCLEUS]}; embed that plate again"
        )
    compounds = sorted(sample[names.COMPOUND].unique())
    if len(compounds) < 2:
        raise DataError("probes: the sample has fewer than two compounds; there is nothing to classify")
    sample["label"] = pd.Categorical(sample[names.COMPOUND], categories=compounds).codes.astype(np.int64)
    features = np.asarray(embeddings, np.float32)[rows]
    broken = ~np.isfinite(features).all(axis=1)
    if broken.any():
        first = sample[broken].iloc[0]
        raise DataError(
            f"probes: the embeddings of {int(broken.sum())} sampled cells are not finite, first plate "
            f"{first[names.PLATE]}, well {first[names.WELL]}, site {first[names.SITE]}, nucleus "
            f"{first[names.NUCLEUS]}; embed that plate again, or look at the encoder's weights"
        )
    return sample, features, compounds


def score(
    cells: pd.DataFrame,
    features: NDArray[np.float32],
    layout: Plan,
    fits: LinearFits,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    compounds: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score classifiers (F, K, D), (F, K) on the rows of `layout`; the two tables lack only protocol and task."""
    labels, ids = cells["label"].to_numpy(), np.array(compounds, dtype=object)
    scores, predictions = [], []
    for number, (fit, quadrants) in enumerate(zip(layout.fits, layout.scored, strict=True)):
        for split, rows in quadrants.items():
            if len(rows) == 0:
                logger.warning("probes: no cells to score in quadrant %s", split)
                continue
            predicted = predict(features[rows], weight[number], bias[number])
            table = cells.iloc[rows][names.CELL_KEYS].assign(
                fit=number, split=split, truth=ids[labels[rows]], predicted=ids[predicted]
            )
            predictions.append(table)
            scores.append(
                {
                    "fit": number,
                    "split": split,
                    **classification_scores(labels[rows], predicted, len(compounds)),
                    "n_cells": len(rows),
                    "n_wells": len(table[names.WELL_KEYS].drop_duplicates()),
                    "n_train": len(fit.train),
                    "epochs": int(fits.epochs[number]),
                    "best_epoch": int(fits.best_epoch[number]),
                }
            )
    if not scores:
        raise DataError("probes: no cells to score in any quadrant; check the split and sample tables")
    return pd.DataFrame(scores), pd.concat(predictions, ignore_index=True)
