"""Intervals over plates: their variance, their coverage, and probabilities adjusted for their number."""

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.evaluation.plate_intervals import add, holm, over_plates, plate_totals, well_terms
from campfire.evaluation.statistics import BootstrapOptions, bootstrap_accuracy, paired_bootstrap
from campfire.evaluation.tally import tally

OOD = (("control", "test_ood_plate"), ("heldout", "test_ood_both"))
ALL = (("control", "test"), *OOD, ("heldout", "test_ood_compound"))


def screen(
    seed: int, plates: int = 5, compounds: int = 8, cells: int = 20, plate_sd: float = 0.0, quadrants: object = OOD
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions of two encoders of equal merit, each of which is better or worse on a plate as a whole.

    The plates of both OOD quadrants are the same; the accuracy of a compound is its own.
    """
    rng = np.random.default_rng(seed)
    encoders = []
    shifts = {(e, side): rng.normal(0, plate_sd, plates) for e in range(2) for side in ("ID", "OOD")}
    rates = {task: rng.uniform(0.3, 0.7, compounds) for task in ("control", "heldout")}
    for encoder in range(2):
        tables = []
        for task, split in quadrants:  # type: ignore[attr-defined]
            side = "OOD" if (task, split) in OOD else "ID"
            index = [range(plates), range(compounds), range(cells)]
            grid = pd.MultiIndex.from_product(index, names=["plate", "compound", "cell"]).to_frame(index=False)
            rate = rates[task][grid["compound"]] + shifts[encoder, side][grid["plate"]]
            truth = task + grid["compound"].astype(str)
            right = rng.random(len(grid)) < rate
            table = pd.DataFrame({"protocol": "strict", "task": task, "fit": 0, "split": split, "truth": truth})
            table["predicted"] = np.where(right, truth, "none")
            table[names.PLATE] = side + grid["plate"].astype(str)
            table[names.WELL] = task[0].upper() + grid["compound"].add(1).astype(str).str.zfill(2)
            table[names.SITE], table[names.NUCLEUS] = "1", grid["cell"].astype("int32")
            tables.append(table)
        encoders.append(pd.concat(tables, ignore_index=True))
    return encoders[0], encoders[1]


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_terms_sum_to_the_metric_and_totals_to_nothing(metric: str) -> None:
    first, _ = screen(0, plate_sd=0.1, quadrants=OOD[:1])
    uneven = first[~((first["truth"] == "control1") & (first[names.NUCLEUS] > 4))]
    fits = pd.concat([uneven, uneven.assign(fit=1, predicted="control0")[::3]])
    wells = tally(fits)
    terms, share = well_terms(wells, metric)
    options = BootstrapOptions(metric=metric, replicates=10)  # type: ignore[arg-type]
    assert terms.sum() == pytest.approx(bootstrap_accuracy(fits, options)["value"].iloc[0])
    assert share.sum() == pytest.approx(1)
    assert plate_totals(wells, metric).sum() == pytest.approx(0, abs=1e-12)


def test_balanced_plates_give_the_textbook_interval() -> None:
    """A mean over plates that hold the same wells is a mean of plate means: Student's t on them."""
    from scipy import stats

    first, second = screen(1, plate_sd=0.1, quadrants=OOD[:1])
    row = paired_bootstrap(first, second, BootstrapOptions(replicates=10)).iloc[0]
    hits = [(t["truth"] == t["predicted"]).groupby(t[names.PLATE]).mean() for t in (first, second)]
    test = stats.ttest_rel(*hits)
    low, high = test.confidence_interval(0.95)
    assert (row["low_plates"], row["high_plates"]) == (pytest.approx(low), pytest.approx(high))
    assert row["p_plates"] == pytest.approx(test.pvalue) and row["n_plates"] == 5


def test_coverage_over_plates_where_wells_fail() -> None:
    """Five plates, no true difference, accuracies of an encoder that vary by plate with an SD of 0.12."""
    held = {"low": 0, "low_plates": 0}
    for seed in range(120):
        row = paired_bootstrap(
            *screen(seed, cells=12, plate_sd=0.12, quadrants=OOD[:1]), BootstrapOptions(replicates=200)
        ).iloc[0]
        for low, high in (("low", "high"), ("low_plates", "high_plates")):
            held[low] += row[low] <= 0 <= row[high]
    assert held["low"] < 90  # of 114 expected of a sound interval
    assert held["low_plates"] > 108


def test_quadrants_that_share_plates_are_added_before_they_are_squared() -> None:
    first, second = screen(3, plate_sd=0.2)
    rows = paired_bootstrap(first, second, BootstrapOptions(replicates=10)).set_index("split")
    width = rows["high_plates"] - rows["low_plates"]
    both = width[[split for _, split in OOD]]
    assert width["mean"] > 0.9 * both.mean()  # as wide as either: the second quadrant is no second sample of plates
    apart = second.assign(**{names.PLATE: second["task"] + second[names.PLATE]})
    moved = first.assign(**{names.PLATE: first["task"] + first[names.PLATE]})
    alone = paired_bootstrap(moved, apart, BootstrapOptions(replicates=10)).set_index("split").loc["mean"]
    assert alone["high_plates"] - alone["low_plates"] < 0.75 * width["mean"]


def test_two_plates_have_no_interval() -> None:
    rows = paired_bootstrap(*screen(0, plates=2), BootstrapOptions(replicates=10))
    assert rows[["low_plates", "high_plates", "p_plates"]].isna().all(axis=None) and (rows["n_plates"] == 2).all()
    assert rows[["low", "high"]].notna().all(axis=None)


def test_compounds_on_one_plate_each_share_a_mean() -> None:
    """The control task's test wells of a small screen: one well a compound, all on different plates."""
    first, _ = screen(0, plates=8, plate_sd=0.3, quadrants=OOD[:1])
    diagonal = first[first[names.PLATE].str[3:] == first["truth"].str[7:]]
    totals = plate_totals(tally(diagonal))
    wells = (diagonal["truth"] == diagonal["predicted"]).groupby(diagonal[names.PLATE]).mean()
    assert np.sqrt((totals**2).sum()) == pytest.approx(wells.std(ddof=1) / np.sqrt(8))


def test_sides_of_no_variance() -> None:
    none = pd.Series(0.0, index=["a", "b", "c"])
    assert over_plates(0.0, [none], 0.95).p == 1 and over_plates(0.1, [none, none], 0.95).low == 0.1
    total = add([pd.Series({"a": 1.0, "b": 2.0}), pd.Series({"b": 1.0, "c": 5.0})], [1, -1])
    assert total.to_dict() == {"a": 1.0, "b": 1.0, "c": -5.0}


def test_holm_by_hand() -> None:
    found = holm([0.01, np.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, np.nan, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0] and len(holm([])) == 0
