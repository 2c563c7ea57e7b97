"""Intervals of retrieval: the precisions that they rest on are copairs', and they hold for other plates."""

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.evaluation.profiles.precision import _Ranked, reach_over_plates, within
from campfire.evaluation.profiles.retrieval import REPLICATES, replicate_retrieval


def screen(seed: int, plates: int, signal: float, plate_sd: float = 0.5) -> tuple[pd.DataFrame, np.ndarray]:
    """Well means of six compounds; their effects are the same for every seed."""
    effect, rng = np.random.default_rng(0).normal(0, signal, (6, 16)), np.random.default_rng(seed)
    rows = [(f"P{p}", f"A{c:02d}", f"J{c}") for p in range(plates) for c in range(6)]
    shifts = rng.normal(0, plate_sd, (plates, 16))
    x = np.concatenate([effect + shift + rng.normal(0, 1, (6, 16)) for shift in shifts])
    return pd.DataFrame(rows, columns=[*names.WELL_KEYS, names.COMPOUND]), x.astype(np.float32)


@pytest.mark.parametrize("lost", [0, 7, 20])
def test_precisions_are_those_of_copairs(lost: int) -> None:
    wells, x = screen(1, 6, 0.5)
    kept = np.random.default_rng(lost).permutation(len(wells)) >= lost
    ranked = _Ranked(wells, x, *REPLICATES)
    plain, above = ranked.precisions(kept)
    table = replicate_retrieval(wells[kept].reset_index(drop=True), x[kept])
    assert (~np.isnan(plain)).sum() == len(table)
    np.testing.assert_allclose(plain[~np.isnan(plain)], table["average_precision"], atol=1e-6)
    np.testing.assert_allclose(above[~np.isnan(above)], table["normalized_average_precision"], atol=1e-6)


@pytest.mark.parametrize("signal", [0.0, 0.5])
def test_intervals_hold_for_other_plates(signal: float) -> None:
    """Of 95 % intervals at least nine of ten hold the mean over many screens; those over wells held 73 to 78 %."""
    rows = []
    for seed in range(120):
        wells, x = screen(seed, 7, signal)
        table = replicate_retrieval(wells, x)
        value = table.groupby(names.COMPOUND)["normalized_average_precision"].mean().mean()
        rows.append((value, reach_over_plates(wells, x, REPLICATES, names.COMPOUND, 0.95)[1]))
    values, reach = np.array(rows).T
    assert (np.abs(values - values.mean()) <= reach).mean() > 0.9
    assert reach.mean() < 6 * values.std()


def test_two_plates_have_no_interval() -> None:
    wells, x = screen(0, 2, 1.0)
    assert np.isnan(reach_over_plates(wells, x, REPLICATES, names.COMPOUND, 0.95)).all()


def test_no_end_of_an_interval_is_a_precision_that_cannot_be() -> None:
    assert within(0.1, 0.3, least=0.0) == {"low": 0.0, "high": 0.4}
    assert within(0.9, 0.3) == {"low": pytest.approx(0.6), "high": 1.0}
    assert within(0.1, 0.3)["low"] == pytest.approx(-0.2)  # above chance, worse than chance is negative
    assert np.isnan(list(within(0.5, float("nan"), least=0.0).values())).all()
