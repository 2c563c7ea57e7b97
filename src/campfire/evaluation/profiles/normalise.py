"""Normalisation of embeddings across plates by negative controls."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.evaluation.profiles.options import REPRESENTATIONS, Representation

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Doubles = NDArray[np.float64]

SHRINKAGE = 0.01
"""Share of the mean variance mixed into the covariance of the controls."""


def normalise(
    keys: pd.DataFrame,
    embeddings: Floats,
    controls: Flags,
    representation: Representation = "sphered",
    shrinkage: float = SHRINKAGE,
) -> Floats:
    """Embeddings (N, D) in another representation; `controls` (N,) marks the cells of the negative control.

    `raw`: unchanged. `sphered`: each plate is centred and scaled by its controls, then all are whitened by the
    controls' covariance. `tvn` (typical variation normalisation, Ando et al. 2017): whitened by all plates' controls,
    then each plate's controls are aligned to zero mean and unit covariance (CORAL). `shrinkage` is the share of the
    mean variance mixed into a covariance before it is inverted; a plate's own is shrunk more, by dimensions per
    control. No label but "negative control" is used; OOD plates are normalised by their own controls, as in
    a new screen. Raises DataError for a plate without two control cells.
    """
    if representation not in REPRESENTATIONS:
        raise DataError(f"profiles: unknown representation `{representation}`; allowed: {', '.join(REPRESENTATIONS)}")
    x = np.asarray(embeddings, np.float32)
    if representation == "raw":
        return x
    plates = keys[names.PLATE].to_numpy(object)
    out = x.astype(np.float64)
    rows_of = {plate: np.flatnonzero(plates == plate) for plate in pd.unique(plates)}
    for plate, rows in rows_of.items():
        count = int(controls[rows].sum())
        if count < 2:
            raise DataError(
                f"profiles: plate {plate} has {count} cells of the negative control, too few to normalise by; sample "
                "its control wells or use raw embeddings"
            )
    if representation == "sphered":
        for rows in rows_of.values():
            centre, spread = centre_and_spread(out[rows[controls[rows]]])
            out[rows] = (out[rows] - centre) / spread
        return (out @ whitening(out[controls], shrinkage)).astype(np.float32)
    out = (out - out[controls].mean(axis=0)) @ whitening(out[controls], shrinkage)
    for rows in rows_of.values():
        reference = out[rows[controls[rows]]]
        own = min(0.9, max(shrinkage, x.shape[1] / (x.shape[1] + len(reference))))
        out[rows] = (out[rows] - reference.mean(axis=0)) @ whitening(reference, own)
    return out.astype(np.float32)


def centre_and_spread(reference: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation (D,) of a plate's controls (M, D); a constant dimension has the deviation 1."""
    spread = reference.std(axis=0)
    return reference.mean(axis=0), np.where(spread > 1e-8, spread, 1)


def whitening(reference: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    """(D, D) symmetric inverse square root of the shrunk covariance of `reference` (M, D)."""
    covariance = np.atleast_2d(np.cov(reference, rowvar=False))
    values, vectors = np.linalg.eigh(covariance)
    mean = max(float(values.mean()), 1e-12)
    shrunk = (1 - shrinkage) * np.maximum(values, 0) + shrinkage * mean
    return (vectors / np.sqrt(shrunk)) @ vectors.T
