"""Scores and predictions of every fit, from embeddings."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.evaluation.cells import check_finite, check_rows
from campfire.evaluation.probes.folds import Plan, plan_folds
from campfire.evaluation.probes.linear import LinearFits, fit_probe
from campfire.evaluation.probes.metrics import classification_scores
from campfire.evaluation.probes.options import FEW_CELLS, ProbeOptions, Protocol

logger = logging.getLogger(__name__)

SCORE_COLUMNS = [
    *("protocol", "task", "fit", "split", "accuracy", "balanced_accuracy", "macro_f1"),
    *("n_cells", "n_wells", "n_train", "n_train_min", "epochs", "best_epoch", "classifier", "penalty", "doubt"),
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
    sample: rows of `sample/cells.parquet`; their protocol determines early stopping and folds.
    The variants of protocol release (`probe.variants`) are run as well, as protocols `release_standardised` and
    `release_logistic`.
    Returns `scores` (one row per fit and quadrant) and `predictions` (one row per scored cell and fit); columns are
    those of docs/contracts.md, `best_epoch` counts from 1. Fits that may not have been trained properly are marked in
    `doubt` and logged: fewer than 10 training cells of a class, accuracy still rising in the last epoch, one class
    given to all scored cells.
    Raises DataError for a sampled cell without an embedding, SplitError when there are too few cells.
    """
    options = options or ProbeOptions()
    scores, predictions = [], []
    for group, drawn in sample.groupby(["protocol", "task"], sort=False):
        sampled, task = map(str, group)  # type: ignore[call-overload]
        cells, features, compounds = gather(keys, embeddings, drawn)
        for name, protocol in options.layouts(sampled).items():
            layout = plan_folds(task, protocol, cells, options)
            labels = cells["label"].to_numpy()
            fits = fit_probe(features, labels, layout.fits, len(compounds), protocol, options)
            rows, guesses = score(cells, features, layout, fits, protocol.weights, compounds)
            rows["classifier"] = _name(protocol, options)
            for table in (rows, guesses):
                table.insert(0, "protocol", name)
                table.insert(1, "task", task)
            _report(name, task, rows, len(layout.fits), len(compounds))
            scores.append(rows)
            predictions.append(guesses)
    if not scores:
        raise DataError("probes: the sample table has no rows; draw cells for at least one protocol and task")
    return (
        pd.concat(scores, ignore_index=True)[SCORE_COLUMNS],
        pd.concat(predictions, ignore_index=True)[PREDICTION_COLUMNS],
    )


def _name(protocol: Protocol, options: ProbeOptions) -> str:
    if protocol.classifier == "logistic":
        return "logistic"
    return "adamw, standardised" if options.standardises(protocol) else "adamw"


def _report(protocol: str, task: str, rows: pd.DataFrame, fits: int, classes: int) -> None:
    """Log the accuracies of one protocol and task, with a warning for marked fits."""
    summary = rows.groupby("split")["accuracy"].mean()
    text = ", ".join(f"{split} {value:.3f}" for split, value in summary.items())
    logger.info("probe %s/%s: %d fits of %d classes, %s", protocol, task, fits, classes, text)
    marked = rows[rows["doubt"] != ""].drop_duplicates("fit")
    for doubt, group in marked.groupby("doubt"):
        logger.warning(
            "probe %s/%s: %d of %d fits may not be trained properly: %s (fewest training cells of a class: %d); sample "
            "more cells, lower probe.subsets or probe.folds, or look at the embeddings' spread and scale",
            *(protocol, task, len(group), fits, doubt, int(group["n_train_min"].min())),
        )


def gather(
    keys: pd.DataFrame, embeddings: NDArray[np.float32], sample: pd.DataFrame
) -> tuple[pd.DataFrame, NDArray[np.float32], list[str]]:
    """Join sampled cells to their embeddings by key.

    Returns the sample in plate order (then order of the draw) with the integer column `label`, the embeddings
    (M, D) of its rows and the compounds in label order (sorted ids).
    """
    sample = sample.sort_values([names.PLATE, "order"], kind="stable").reset_index(drop=True)
    check_rows(keys, embeddings, "probes")
    twice = sample.duplicated(names.CELL_KEYS)
    if twice.any():
        plate, well, site, nucleus = sample.loc[twice, names.CELL_KEYS].iloc[0]
        raise DataError(
            f"probes: plate {plate}, well {well}, site {site}, nucleus {nucleus} is sampled twice; draw the cells anew"
        )
    index = pd.MultiIndex.from_frame(keys[names.CELL_KEYS])
    if index.has_duplicates:
        plate, well, site, nucleus = index[index.duplicated()][0]
        raise DataError(f"probes: plate {plate}, well {well}, site {site}, nucleus {nucleus} is embedded twice")
    rows = index.get_indexer(pd.MultiIndex.from_frame(sample[names.CELL_KEYS]))
    if (rows < 0).any():
        first = sample[rows < 0].iloc[0]
        there = ", ".join(repr(keys[name].iloc[0]) for name in names.CELL_KEYS) if len(keys) else "no cell"
        raise DataError(
            f"probes: {int((rows < 0).sum())} of {len(sample)} sampled cells have no embedding, first plate "
            f"{first[names.PLATE]!r}, well {first[names.WELL]!r}, site {first[names.SITE]!r}, nucleus "
            f"{first[names.NUCLEUS]}; the first embedding is of {there}: write the keys of both alike, or embed that "
            "plate again"
        )
    compounds = sorted(sample[names.COMPOUND].unique())
    if len(compounds) < 2:
        raise DataError("probes: the sample has fewer than two compounds; there is nothing to classify")
    sample["label"] = pd.Categorical(sample[names.COMPOUND], categories=compounds).codes.astype(np.int64)
    features = np.asarray(embeddings, np.float32)[rows]
    check_finite(sample, features, "probes", "sampled ")
    return sample, features, compounds


def _one_class(
    guesses: Mapping[str, NDArray[np.intp]], labels: NDArray[np.int64], quadrants: Mapping[str, NDArray[np.intp]]
) -> bool:
    """Whether a fit names one class for cells of several: embeddings all alike, or on a scale it cannot use."""
    truths = {label for split in guesses for label in np.unique(labels[quadrants[split]])}
    return len(truths) > 1 and len({label for guess in guesses.values() for label in np.unique(guess)}) == 1


def score(
    cells: pd.DataFrame,
    features: NDArray[np.float32],
    layout: Plan,
    fits: LinearFits,
    which: str,
    compounds: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the `last` or `best` weights of `fits` on the rows of `layout`; the tables lack protocol and task."""
    labels, ids = cells["label"].to_numpy(), np.array(compounds, dtype=object)
    scores, predictions = [], []
    for split in dict.fromkeys(split for quadrants in layout.scored for split in quadrants):
        if not any(len(quadrants.get(split, ())) for quadrants in layout.scored):
            logger.warning("probes: no cells to score in quadrant %s", split)
    for number, (fit, quadrants) in enumerate(zip(layout.fits, layout.scored, strict=True)):
        trained = np.concatenate([fit.train, fit.monitor]) if fit.refit else fit.train
        fewest = int(np.bincount(labels[trained], minlength=len(compounds)).min())
        doubts = [f"fewer than {FEW_CELLS} training cells of a class"] * (fewest < FEW_CELLS)
        if not fits.finished[number]:
            doubts.append("training ended before its accuracy stopped rising")
        guesses = {split: fits.predict(number, features[rows], which) for split, rows in quadrants.items() if len(rows)}
        if _one_class(guesses, labels, quadrants):
            doubts.append("all scored cells are given one class")
        for split, predicted in guesses.items():
            rows = quadrants[split]
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
                    "n_train": len(trained),
                    "n_train_min": fewest,
                    "epochs": int(fits.epochs[number]),
                    "best_epoch": int(fits.best_epoch[number]),
                    "penalty": float(fits.penalty[number]),
                    "doubt": "; ".join(doubts),
                }
            )
    if not scores:
        raise DataError("probes: no cells to score in any quadrant; check the split and sample tables")
    return pd.DataFrame(scores), pd.concat(predictions, ignore_index=True)
