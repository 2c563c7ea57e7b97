"""Intervals over wells."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.core.errors import ConfigError, DataError
from campfire.evaluation.statistics import BootstrapOptions, bootstrap_accuracy, ood_gaps, paired_bootstrap

QUADRANTS = [
    ("control", "test"),
    ("control", "test_ood_plate"),
    ("heldout", "test_ood_compound"),
    ("heldout", "test_ood_both"),
]


def predictions(
    rate: Any,
    seed: int = 0,
    fits: int = 3,
    wells: int = 6,
    cells: int = 8,
    compounds: int = 5,
    well_sd: float = 0.0,
    quadrants: Any = QUADRANTS,
) -> pd.DataFrame:
    """Predictions that are right with probability `rate` (+ a shift per well), the same cells for any rate."""
    rng = np.random.default_rng(seed)
    tables = []
    for number, (task, split) in enumerate(quadrants):
        grid = pd.MultiIndex.from_product(
            [range(compounds), range(wells), range(cells), range(fits)], names=["truth", "well", "cell", "fit"]
        ).to_frame(index=False)
        shift = rng.normal(0, well_sd, (compounds, wells))[grid["truth"], grid["well"]]
        right = rng.random(len(grid)) < rate + shift
        tables.append(
            pd.DataFrame(
                {
                    "protocol": "strict",
                    "task": task,
                    "fit": grid["fit"],
                    "split": split,
                    names.PLATE: "Q" + str(number) + "P" + grid["well"].astype(str),
                    names.WELL: "A" + grid["truth"].add(1).astype(str).str.zfill(2),
                    names.SITE: "1",
                    names.NUCLEUS: grid["cell"].astype("int32"),
                    "truth": "C" + grid["truth"].astype(str),
                    "predicted": "C" + np.where(right, grid["truth"], (grid["truth"] + 1) % compounds).astype(str),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def test_values_are_the_means_over_fits() -> None:
    table = predictions(0.4)
    result = bootstrap_accuracy(table, BootstrapOptions(replicates=50)).set_index("split")
    for split, group in table.groupby("split"):
        each = (group["truth"] == group["predicted"]).groupby(group["fit"]).mean()
        assert result.loc[split, "value"] == pytest.approx(each.mean())
        assert result.loc[split, "sd"] == pytest.approx(each.std(ddof=0))
        assert result.loc[split, "sd_sample"] == pytest.approx(each.std(ddof=1))
        assert result.loc[split, "n_wells"] == 30 and result.loc[split, "n_cells"] == 240
    assert list(result.index) == ["test", "test_ood_plate", "test_ood_compound", "test_ood_both", "mean"]
    assert result.loc["mean", "value"] == pytest.approx(result["value"].iloc[:4].mean())
    assert (
        result.loc["mean", "high"] - result.loc["mean", "low"] < 0.75 * (result["high"] - result["low"]).iloc[:4].mean()
    )


def test_width_is_that_of_a_stratified_mean() -> None:
    """Without fits or metrics to average, the variance of the mean has a closed form."""
    table = predictions(0.5, fits=1, wells=12, cells=5, compounds=3, well_sd=0.2, quadrants=QUADRANTS[:1])
    result = bootstrap_accuracy(table, BootstrapOptions(replicates=20000)).iloc[0]
    well = (table["truth"] == table["predicted"]).groupby([table["truth"], table[names.PLATE]]).mean()
    deviation = np.sqrt((well.groupby("truth").var(ddof=1) / 12).sum() / 9)
    assert (result["high"] - result["low"]) / (2 * 1.96) == pytest.approx(deviation, rel=0.05)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_paired_difference(metric: str) -> None:
    options = BootstrapOptions(replicates=400, metric=metric)
    worse, better = predictions(0.4, seed=1, wells=10), predictions(0.6, seed=2, wells=10)
    result = paired_bootstrap(better, worse, options).set_index("split")
    assert (result["low"] < result["difference"]).all() and (result["difference"] < result["high"]).all()
    assert result.loc["mean", "low"] > 0
    np.testing.assert_allclose(result["difference"], result["first"] - result["second"])
    opposite = paired_bootstrap(worse, better, options).set_index("split")
    np.testing.assert_allclose(opposite["low"], -result["high"], atol=1e-12)
    nothing = paired_bootstrap(worse, worse, options)
    assert (nothing[["difference", "low", "high"]].to_numpy() == 0).all()
    again = paired_bootstrap(better.sample(frac=1, random_state=0), worse, options).set_index("split")
    pd.testing.assert_frame_equal(again, result)


def test_pairing_removes_what_the_wells_share() -> None:
    easy = np.random.default_rng(5).random((5, 10)) < 0.5  # wells that either encoder gets right
    tables = []
    for seed in (1, 2):
        table = predictions(0.2, seed=seed, wells=10, quadrants=QUADRANTS[:1])
        known = easy[table["truth"].str[1:].astype(int), table[names.PLATE].str[3:].astype(int)]
        tables.append(table.assign(predicted=table["predicted"].where(~known, table["truth"])))
    options = BootstrapOptions(replicates=1000)
    paired = paired_bootstrap(*tables, options).iloc[0]
    single = bootstrap_accuracy(tables[0], options).iloc[0]
    assert paired["high"] - paired["low"] < 0.6 * (single["high"] - single["low"])


def test_coverage() -> None:
    hits = 0
    for seed in range(100):
        table = predictions(0.5, seed=seed, fits=1, wells=20, well_sd=0.15, quadrants=QUADRANTS[:1])
        row = bootstrap_accuracy(table, BootstrapOptions(replicates=200)).iloc[0]
        hits += row["low"] <= 0.5 <= row["high"]
    assert hits >= 88


def test_compounds_with_one_well_still_vary() -> None:
    table = predictions(0.5, wells=1, compounds=9, quadrants=QUADRANTS[:1])
    row = bootstrap_accuracy(table, BootstrapOptions(replicates=300)).iloc[0]
    assert row["high"] - row["low"] > 0.05


def test_gap_between_plates() -> None:
    table = pd.concat([predictions(0.7, quadrants=QUADRANTS[::2]), predictions(0.4, seed=1, quadrants=QUADRANTS[1::2])])
    gaps = ood_gaps(table, BootstrapOptions(replicates=300))
    assert list(gaps["task"]) == ["control", "heldout"]
    assert (gaps["low"] > 0.1).all() and (gaps["high"] < 0.5).all()
    assert (gaps["n_plates_inside"] == 6).all() and (gaps["low_plates"] < gaps["gap"]).all()


def test_gap_over_plates_counts_what_plates_share() -> None:
    # One of three OOD plates differs by 0.4: other wells of the same three plates never show that, other plates do.
    inside = predictions(0.7, quadrants=QUADRANTS[2:3])
    parts = [predictions(rate, seed=1, quadrants=QUADRANTS[3:], wells=12) for rate in (0.3, 0.65, 0.7)]
    plates = sorted(parts[0][names.PLATE].unique())[:3]
    outside = [part[part[names.PLATE] == plate] for part, plate in zip(parts, plates, strict=True)]
    gap = ood_gaps(pd.concat([inside, *outside]), BootstrapOptions(replicates=300)).iloc[0]
    assert gap["n_plates_outside"] == 3
    assert gap["low"] > 0 and gap["low_plates"] < -0.2
    two = ood_gaps(pd.concat([inside, *outside[:2]]), BootstrapOptions(replicates=300)).iloc[0]
    assert np.isnan(two["low_plates"]) and np.isnan(two["high_plates"]) and two["low"] > 0


def test_two_wells_are_no_verdict() -> None:
    table = predictions(0.5, wells=1, compounds=3, quadrants=QUADRANTS[:1])
    two = table[table["truth"] != "C2"]
    other = two.assign(predicted="C0")
    assert bootstrap_accuracy(table).iloc[0][["low", "high"]].notna().all()
    for frame in (bootstrap_accuracy(two), paired_bootstrap(two, other)):
        assert frame[["low", "high"]].isna().all(axis=None) and (frame["split"] == "mean").any()
    inside, outside = predictions(0.7, quadrants=QUADRANTS[:1]), predictions(0.4, wells=1, quadrants=QUADRANTS[1:2])
    gap = ood_gaps(pd.concat([inside, outside[outside["truth"].isin(["C0", "C1"])]])).iloc[0]
    assert gap[["low", "high", "low_plates", "high_plates"]].isna().all() and gap["gap"] > 0


def test_other_cells_are_refused() -> None:
    table = predictions(0.5)
    with pytest.raises(DataError, match="not of the same cells"):
        paired_bootstrap(table, table.iloc[:-1])
    with pytest.raises(DataError, match="test_ood_both was scored for only one"):
        paired_bootstrap(table, table[table["split"] != "test_ood_both"])
    with pytest.raises(ConfigError, match="metric: 'f1' is not one of accuracy, balanced_accuracy"):
        BootstrapOptions(metric="f1")
