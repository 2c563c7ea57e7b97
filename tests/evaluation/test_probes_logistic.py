"""The search for the penalty of logistic regression, and the preparation of its cells."""

import numpy as np
import pytest
from numpy.typing import NDArray

from campfire.evaluation.probes import Fit, logistic
from campfire.evaluation.probes.logistic import MARGIN, PENALTIES, WORSE, fit_logistic, standardisation

Doubles = NDArray[np.float64]


def cells(n: int, dim: int, classes: int, spread: float = 2, seed: int = 0) -> tuple[NDArray[np.float32], Doubles]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return (rng.normal(0, 1, (classes, dim))[labels] + rng.normal(0, spread, (n, dim))).astype(np.float32), labels


@pytest.mark.parametrize(("spread", "noise"), [(1, False), (2, False), (6, False), (2, True)])
def test_the_penalty_is_that_of_all_penalties_tried_one_by_one(spread: float, noise: bool) -> None:
    x, labels = cells(400, 40, 4, spread)
    if noise:
        labels = np.random.default_rng(1).permutation(labels)
    fit = Fit(np.arange(0, 200), np.arange(200, 400))
    rows, truth = x[fit.monitor], labels[fit.monitor]
    losses = []
    for penalty in PENALTIES:
        found = fit_logistic(x, labels, fit, 4, [penalty])
        logits = (rows - found.centre) / found.scale @ found.weight.T + found.bias
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses.append(-logits[np.arange(len(rows)), truth].mean())
    best = 0
    for i, loss in enumerate(losses):
        best = i if loss < losses[best] - MARGIN else best
        if i - best == WORSE:
            break
    assert fit_logistic(x, labels, fit, 4).penalty == PENALTIES[best]


@pytest.mark.parametrize("bottom", [3e-6, 1e-3, 3e-3, 1e-2, 1.0, 3.2])
def test_the_search_goes_to_either_side(bottom: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest loss is found wherever it is, and no more penalties are tried than show that it is the lowest."""
    tried: list[float] = []

    def told(self: object, penalty: float, start: Doubles, *_: object) -> tuple[Doubles, int, bool]:
        tried.append(penalty)
        return np.full_like(start, np.log10(penalty / bottom)), 1, True

    monkeypatch.setattr(logistic._Problem, "minimise", told)
    monkeypatch.setattr(logistic._Problem, "loss", lambda self, rows, truth, weights: abs(weights[0, 0]))
    x, labels = cells(60, 3, 2)
    found = fit_logistic(x, labels, Fit(np.arange(40), np.arange(40, 60)), 2)
    distance = [abs(np.log10(penalty / bottom)) for penalty in PENALTIES]
    assert found.penalty == PENALTIES[int(np.argmin(distance))]
    assert len(set(tried)) <= round(2 * abs(np.log10(found.penalty / logistic.FIRST))) + 2 * WORSE + 1


@pytest.mark.parametrize("dim", [12, 90])  # of 90 dimensions the 60 cells first fitted span only some
def test_a_refit_ends_at_the_minimum_of_all_its_cells(dim: int) -> None:
    x, labels = cells(100, dim, 3)
    both = fit_logistic(x, labels, Fit(np.arange(60), np.arange(60, 100), refit=True), 3, [0.01])
    alone = fit_logistic(x, labels, Fit(np.arange(100), np.arange(60, 100)), 3, [0.01])
    for field in ("centre", "scale"):
        np.testing.assert_array_equal(getattr(both, field), getattr(alone, field))
    np.testing.assert_allclose(both.weight, alone.weight, atol=3e-4)
    np.testing.assert_allclose(both.bias - both.bias.mean(), alone.bias - alone.bias.mean(), atol=3e-4)


@pytest.mark.parametrize("refit", [False, True])
def test_turning_the_cells_or_the_weights_is_the_same(refit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = cells(150, 12, 3)
    found = []
    for many in (0, 1000):
        monkeypatch.setattr(logistic, "MANY", many)
        found.append(fit_logistic(x, labels, Fit(np.arange(100), np.arange(100, 150), refit=refit), 3))
    weights, turned = found
    assert weights.penalty == turned.penalty
    np.testing.assert_allclose(weights.weight, turned.weight, atol=1e-4)
    np.testing.assert_allclose(weights.bias, turned.bias, atol=1e-4)


def test_deviations_taken_block_by_block_are_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "BLOCK", 37)
    x, _ = cells(500, 20, 4)
    centre, scale = standardisation(x)
    np.testing.assert_array_equal(centre, x.mean(axis=0, dtype=np.float64))
    np.testing.assert_array_equal(scale, x.std(axis=0, dtype=np.float64))
