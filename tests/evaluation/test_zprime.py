"""Z' against the authors' released code and against first principles."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import ConfigError, DataError
from campfire.evaluation import zprime


@pytest.fixture(scope="module")
def official(shared: Path) -> tuple[Any, ...]:
    folder = shared / "data/official/zprime"
    wells = pd.read_parquet(folder / "well_embeddings.parquet")
    with open(folder / "zprime.json") as handle:
        facts = json.load(handle)
    return facts, wells["compound"].to_numpy(), wells.filter(like="emb_").to_numpy(np.float64), folder


def test_robust_mean_and_deviation_equal_the_release(official: tuple[Any, ...]) -> None:
    facts = official[0]
    for name, values in facts["arrays"].items():
        mean, deviation = zprime.algorithm_a(values)
        assert (float(mean), float(deviation)) == pytest.approx(facts["robust_stat"][name], abs=1e-12), name


def test_scalar_pairs_equal_the_release(official: tuple[Any, ...]) -> None:
    facts = official[0]
    for pair in facts["pairs"]:
        a, b = facts["arrays"][pair["origin"]], facts["arrays"][pair["target"]]
        assert zprime.zprime(a, b, "robust") == pytest.approx(pair["robust"], abs=1e-9)
        assert zprime.zprime(a, b, "plain") == pytest.approx(pair["plain_ddof0"], abs=1e-9)
        assert zprime.zprime(a, b, "plain", ddof=1) == pytest.approx(pair["plain_ddof1"], abs=1e-9)


def test_projections_equal_the_release(official: tuple[Any, ...]) -> None:
    _, groups, wells, folder = official
    stored = np.load(folder / "projections.npz")
    checked = 0
    for name in stored:
        switch, *pair = name.split("|")
        if switch != "on":
            continue
        a, b = (groups == pair[0]), (groups == pair[1])
        low, high = zprime.project(wells[a], wells[b])
        np.testing.assert_allclose(low, stored[name][a], atol=1e-9)
        np.testing.assert_allclose(high, stored[name][b], atol=1e-9)
        checked += 1
    assert checked == 12


def test_group_map_equals_the_release(official: tuple[Any, ...]) -> None:
    facts, groups, wells, _ = official
    table = zprime.pairwise(wells, groups, replicates=50).set_index(["reference", "target", "method"])
    unbiased = zprime.pairwise(wells, groups, ("plain",), ddof=1, replicates=10)
    unbiased = unbiased.set_index(["reference", "target"])["zprime"]
    for pair in facts["groups"]:
        key = (pair["reference"], pair["target"])
        assert table.loc[(*key, "robust"), "zprime"] == pytest.approx(pair["robust_zprime"], abs=1e-9)
        assert table.loc[(*key, "plain"), "zprime"] == pytest.approx(pair["plain_ddof0"], abs=1e-9)
        assert unbiased[key] == pytest.approx(pair["plain_ddof1"], abs=1e-9)
    assert len(table) == 24


def test_bootstrap_equals_doing_it_by_hand_and_is_seeded() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, (9, 6)), rng.normal(1, 1, (13, 6))
    for method in zprime.METHODS:
        draws = zprime.bootstrap(a, b, method, replicates=20, seed=5)
        again = np.random.default_rng(5)
        rows_a, rows_b = again.integers(0, 9, (20, 9)), again.integers(0, 13, (20, 13))
        by_hand = [zprime.zprime(a[i], b[j], method) for i, j in zip(rows_a, rows_b, strict=True)]
        np.testing.assert_allclose(draws, by_hand, rtol=1e-7, atol=1e-9)
        assert len(np.unique(draws.round(9))) > 15  # the replicates really differ
        assert np.array_equal(draws, zprime.bootstrap(a, b, method, replicates=20, seed=5))
        assert not np.array_equal(draws, zprime.bootstrap(a, b, method, replicates=20, seed=6))


@pytest.mark.parametrize("wells", [4, 12])
@pytest.mark.parametrize("method", zprime.METHODS)
def test_intervals_of_few_wells_cover_the_truth(wells: int, method: Any) -> None:
    # Along the line between the groups at 0 and 10 the SD is 1, so Z' = 1 - 3 * 2 / 10 = 0.4; other dimensions only
    # let the line bend towards the sample at hand, which makes Z' of few wells too high.
    rng = np.random.default_rng(0)
    scale = 1 / np.sqrt(1 + np.arange(32))
    covered, naive, trials = 0, 0, 120
    for trial in range(trials):
        a, b = rng.normal(0, scale, (wells, 32)), rng.normal(0, scale, (wells, 32))
        b[:, 0] += 10
        draws = zprime.bootstrap(a, b, method, replicates=200, seed=trial)
        low, high = zprime.interval(zprime.zprime(a, b, method), draws, (wells, wells))
        covered += low <= 0.4 <= high
        first, last = np.quantile(draws, [0.025, 0.975])
        naive += first <= 0.4 <= last
    assert covered / trials >= 0.87
    assert naive / trials < (0.75 if wells == 4 else 0.97)  # percentiles: what is not used


def test_edges() -> None:
    assert zprime.zprime([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "robust") == -np.inf
    assert zprime.zprime(np.ones((4, 2)), np.ones((3, 2))) == -np.inf
    assert zprime.zprime(np.float32([0, 0, 0]), np.float32([1, 1])) == 1.0
    with pytest.raises(DataError, match="no wells"):
        zprime.zprime([], [1.0])
    with pytest.raises(DataError, match="no wells"):
        zprime.algorithm_a([])
    table = zprime.pairwise(np.eye(4), ["a", "a", "b", ""], replicates=5)
    assert set(table["reference"]) == {"a", "b"} and set(table["n_target"]) == {1, 2}
    assert table[["low", "high"]].isna().all(axis=None)  # two wells and one: no interval
    low, high = zprime.interval(-np.inf, np.array([-np.inf, -3.0, 0.5]), (5, 5))
    assert low == -np.inf and high == 0.5
    assert np.isnan(zprime.interval(1.0, np.ones(9), (5, 5))).all()


@pytest.mark.parametrize("level", [95, 1.0, 0.0, -0.5])
def test_a_level_that_is_no_share_is_refused_not_missing(level: float) -> None:
    x = np.random.default_rng(0).normal(size=(8, 4)) + np.repeat([0, 9], 4)[:, None]
    with pytest.raises(ConfigError, match=r"give 0[.]95 for 95 %"):
        zprime.pairwise(x, ["a"] * 4 + ["b"] * 4, replicates=10, level=level)
