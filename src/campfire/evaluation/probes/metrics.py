"""Accuracy, balanced accuracy, macro F1 and confusion matrices of class indices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.integer[Any]]


def confusion(truth: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """(K, K) counts: rows are the truth, columns the prediction."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def classification_scores(truth: Classes, predicted: Classes, classes: int) -> dict[str, float]:
    """`accuracy`, `balanced_accuracy` and `macro_f1` of (N,) class indices.

    Balanced accuracy is the mean recall over the classes that occur in `truth`; macro F1 the mean F1 over the
    classes that occur in either (the conventions of scikit-learn). All are nan without rows.
    """
    if len(truth) == 0:
        return {"accuracy": float("nan"), "balanced_accuracy": float("nan"), "macro_f1": float("nan")}
    counts = confusion(truth, predicted, classes)
    hits, true, guessed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    present, seen = true > 0, true + guessed > 0
    return {
        "accuracy": float(hits.sum() / counts.sum()),
        "balanced_accuracy": float(np.mean(hits[present] / true[present])),
        "macro_f1": float(np.mean(2 * hits[seen] / (true + guessed)[seen])),
    }
