"""The compiled optimiser of long probe fits has the same bytes as numpy's, and logistic regression its minimum."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from campfire.evaluation.probes import Fit, LinearFits, ProbeOptions, fit_linear, logistic, trainer


def cells(n: int, dim: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    return (rng.normal(0, 1, (classes, dim))[labels] + rng.normal(0, 2, (n, dim))).astype(np.float32), labels


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("lengths", [(400, 400), (400, 333, 90)])
def test_compiled_steps_have_the_bytes_of_numpys(
    standardise: bool, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels = cells(500, 700, 25)  # so wide that numpy updates in blocks
    fits = [Fit(np.arange(n), np.arange(400, 500)) for n in lengths]
    options = ProbeOptions(epochs=12, patience=4, learning_rate=0.01)
    found: list[LinearFits] = []
    for least, compiled in ((np.inf, False), (0.0, True)):
        monkeypatch.setattr(trainer, "FUSED_FROM", least)
        used = []
        monkeypatch.setattr(trainer, "fused_step", lambda used=used, step=trainer.fused_step: used.append(1) or step())
        found.append(fit_linear(x, labels, fits, 25, options, standardise))
        assert bool(used) is compiled
    plain, fused = found
    for field in fields(LinearFits):
        np.testing.assert_equal(getattr(fused, field.name), getattr(plain, field.name), field.name)
    assert len(set(plain.epochs)) > 1 or len(set(lengths)) == 1  # fits that stop leave the others' bytes alone


@pytest.mark.parametrize("large", [False, True])
def test_logistic_regression_ends_at_its_minimum(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradient of the whole objective at the weights, written out on its own, in blocks of cells that do not divide."""
    monkeypatch.setattr(logistic, "BLOCK", 37)
    if large:
        monkeypatch.setattr(logistic, "LARGE", 0)
    x, labels = cells(500, 12, 4)
    fit = Fit(np.arange(400), np.arange(400, 500), refit=True)
    found = logistic.fit_logistic(x, labels, fit, 4)
    rows = (x.astype(np.float64) - found.centre) / found.scale
    by_logit = np.exp(log_softmax(rows @ found.weight.T + found.bias, axis=1)) - np.eye(4)[labels]
    slope = by_logit.T @ rows / len(rows) + found.penalty * found.weight
    assert found.converged and np.abs(slope).max() < (3e-5 if large else 3e-6)
    assert np.abs(by_logit.mean(axis=0)).max() < (3e-5 if large else 3e-6)
    assert np.abs(found.weight).max() > 0.01
