"""Agreement of two segmentations of one field: objects matched by intersection over union."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import DataError


@dataclass(frozen=True)
class Match:
    """Counts and scores of segmented objects against a reference."""

    n_found: int
    n_reference: int
    n_matched: int
    precision: float
    recall: float
    f1: float
    mean_iou: float
    """Mean intersection over union of the matched pairs (nan without a pair)."""
    pairs: NDArray[np.int64]
    """(M, 2) label of the found object and of the reference object of every matched pair."""


def drop_edge_objects(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """A copy of `labels` (H, W) without the objects that touch the field's edge, as CellProfiler counts nuclei."""
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    keep = np.ones(int(labels.max(initial=0)) + 1, dtype=bool)
    keep[edge] = False
    return np.where(keep[labels], labels, 0).astype(labels.dtype)


def match_objects(
    found: NDArray[np.integer[Any]], reference: NDArray[np.integer[Any]], iou: float = 0.5, interior: bool = True
) -> Match:
    """F1 of `found` against `reference` at an IoU threshold.

    found, reference: (H, W) integer labels, 0 is background. With `interior` the objects that touch the field's edge
    are left out on both sides. Pairs are the assignment of largest total IoU among the pairs at or above `iou`; from
    0.5 on, an object can have one partner only. F1 is 1.0 when both sides are empty.

    Raises DataError when the shapes differ.
    """
    if found.shape != reference.shape:
        raise DataError(f"segmentations differ in shape: {found.shape} and {reference.shape}")
    if interior:
        found, reference = drop_edge_objects(found), drop_edge_objects(reference)
    found_ids, found_index = np.unique(found, return_inverse=True)
    reference_ids, reference_index = np.unique(reference, return_inverse=True)
    shape = (len(found_ids), len(reference_ids))
    overlap = np.bincount(found_index.ravel() * shape[1] + reference_index.ravel(), minlength=shape[0] * shape[1])
    overlap = overlap.reshape(shape).astype(np.float64)
    union = overlap.sum(axis=1, keepdims=True) + overlap.sum(axis=0, keepdims=True) - overlap
    rows, columns = found_ids > 0, reference_ids > 0
    scores = (overlap / union)[np.ix_(rows, columns)]
    scores[scores < iou] = 0
    chosen = _assign(scores)
    n_found, n_reference, n_matched = scores.shape[0], scores.shape[1], len(chosen)
    total = n_found + n_reference
    return Match(
        n_found=n_found,
        n_reference=n_reference,
        n_matched=n_matched,
        precision=n_matched / n_found if n_found else float(n_reference == 0),
        recall=n_matched / n_reference if n_reference else float(n_found == 0),
        f1=2 * n_matched / total if total else 1.0,
        mean_iou=float(scores[chosen[:, 0], chosen[:, 1]].mean()) if n_matched else float("nan"),
        pairs=np.stack([found_ids[rows][chosen[:, 0]], reference_ids[columns][chosen[:, 1]]], axis=1).astype(np.int64),
    )


def _assign(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """(M, 2) row and column of the pairs with a positive score in the best one-to-one assignment."""
    from scipy.optimize import linear_sum_assignment

    if scores.size == 0:
        return np.empty((0, 2), dtype=np.int64)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    positive = scores[rows, columns] > 0
    return np.stack([rows[positive], columns[positive]], axis=1).astype(np.int64)
