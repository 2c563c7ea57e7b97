"""Intervals over pretraining seeds, alone and together with plates."""

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.evaluation.seed_intervals import Pairs, difference_over_seeds, over_seeds, seed_differences
from campfire.evaluation.statistics import BootstrapOptions, paired_bootstrap
from campfire.evaluation.tally import Tally

SEEDS, PLATES, COMPOUNDS, CELLS = 5, 5, 6, 40
LEVEL = 0.95


def counts(rng: np.random.Generator, seed_sd: float, plate_sd: float) -> list[Pairs]:
    """Two encoders of equal merit on both OOD quadrants; the first varies by seed as a whole, and by plate."""
    plates = rng.normal(0, plate_sd, PLATES)
    layout = pd.MultiIndex.from_product([range(COMPOUNDS), range(PLATES)], names=["compound", "plate"])
    grid = layout.to_frame(index=False)
    keys = pd.DataFrame({names.PLATE: grid["plate"].map("P{}".format), names.WELL: "A01", "truth": grid["compound"]})
    wells = {split: rng.uniform(0.4, 0.6, len(grid)) for split in ("test_ood_plate", "test_ood_both")}
    seeds: list[Pairs] = []
    for shift in rng.normal(0, seed_sd, SEEDS):
        pairs = {}
        for task, split in (("control", "test_ood_plate"), ("heldout", "test_ood_both")):
            rates = wells[split] + shift + plates[grid["plate"]], wells[split]
            both = [
                Tally(
                    rng.binomial(CELLS, rate)[:, None].astype(float),
                    np.full((len(grid), 1), float(CELLS)),
                    grid["compound"].to_numpy(),
                    grid["plate"].to_numpy(),
                    keys,
                )
                for rate in rates
            ]
            pairs["strict", task, split] = both[0], both[1]
        seeds.append(pairs)
    return seeds


def predictions(pairs: Pairs, which: int) -> pd.DataFrame:
    """The table of predictions that has these counts."""
    tables = []
    for (protocol, task, split), both in pairs.items():
        wells = both[which]
        rows = wells.keys.loc[wells.keys.index.repeat(CELLS)].reset_index(drop=True)
        number = rows.groupby([names.PLATE, "truth"]).cumcount()
        hits = np.repeat(wells.hits[:, 0], CELLS)
        rows["predicted"] = np.where(number < hits, rows["truth"], -1)
        rows[names.SITE], rows[names.NUCLEUS] = rows["truth"].astype(str), number.astype("int32")
        tables.append(rows.assign(protocol=protocol, task=task, split=split, fit=0))
    return pd.concat(tables, ignore_index=True)


def test_an_interval_over_seeds_is_students_t() -> None:
    from scipy import stats

    values = [0.02, 0.05, -0.01, 0.03, 0.04]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(LEVEL)
    found = over_seeds(values, LEVEL)
    assert (found.low, found.high, found.plates) == (pytest.approx(low), pytest.approx(high), 5)


def test_equal_seeds_leave_the_interval_over_plates() -> None:
    """Seeds that all do the same add nothing: what is left is the interval of one run over plates."""
    pairs = counts(np.random.default_rng(0), 0.0, 0.1)[0]
    first, second = predictions(pairs, 0), predictions(pairs, 1)
    table = seed_differences([(first, second)] * 3)
    single = paired_bootstrap(first, second, BootstrapOptions(replicates=10))
    for row, one in zip(table.to_dict("records"), single.to_dict("records"), strict=True):
        assert row["split"] == one["split"] and row["difference"] == pytest.approx(one["difference"])
        assert row["sd_seeds"] == pytest.approx(0) and row["n_seeds"] == 3
        for over in ("_plates", ""):
            assert row[f"low{over}"] == pytest.approx(one["low_plates"])
            assert row[f"high{over}"] == pytest.approx(one["high_plates"])


def test_two_seeds_or_two_plates_have_no_interval() -> None:
    table = difference_over_seeds(counts(np.random.default_rng(1), 0.05, 0.05)[:2])
    assert table[["low_seeds", "high_seeds", "low", "high", "p"]].isna().all(axis=None)
    assert table[["low_plates", "high_plates"]].notna().all(axis=None)


def test_seeds_scored_in_other_quadrants_are_refused() -> None:
    seeds = counts(np.random.default_rng(2), 0.05, 0.05)
    fewer = dict(list(seeds[0].items())[:1])
    with pytest.raises(DataError, match="same quadrants"):
        difference_over_seeds([*seeds[1:], fewer])


def test_only_the_interval_over_both_contains_the_truth_where_seeds_and_plates_vary() -> None:
    """No true difference, SD 0.06 over seeds and over plates: 100 screens, nominal 95 %."""
    held = {"_seeds": 0, "_plates": 0, "": 0}
    screens = 100
    for number in range(screens):
        row = difference_over_seeds(counts(np.random.default_rng([3, number]), 0.06, 0.06)).iloc[-1]
        for over in held:
            held[over] += row[f"low{over}"] <= 0 <= row[f"high{over}"]
    assert held[""] >= 0.9 * screens
    assert held["_seeds"] < 0.9 * screens and held["_plates"] < 0.9 * screens
