"""Tables of encoders that differ only in their seed: accuracies by family, and differences that cover other seeds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.core.files import write_table
from campfire.evaluation.plate_intervals import holm
from campfire.evaluation.statistics import MEAN
from campfire.report.tables import seed_differences, seeds
from campfire.report.tables.options import TableOptions
from campfire.report.tables.sources import ProbeResult, probe_results
from support.tables_synthetic import SPLITS, quadrants, write_probe

OPTIONS = TableOptions(encoders=["ours-1", "ours-2", "ours-3", "theirs-1"], labels={"ours": "Ours", "twin": "Twin"})
RIGHT = {
    "ours-1": quadrants(7, 6, 6, 5),
    "ours-2": quadrants(8, 7, 7, 6),
    "ours-3": quadrants(6, 5, 5, 4),
    "theirs-1": quadrants(7, 6, 6, 5),
    "theirs-2": quadrants(6, 7, 7, 6),
    "theirs-3": quadrants(8, 5, 5, 4),
    "twin": quadrants(2, 2, 2, 2),
}
"""Right cells of ten, one more in odd fits."""
REPEATS = {name: [(f"{name}-{seed}", seed, f"{name}-{seed}") for seed in (1, 2, 3)] for name in ("ours", "theirs")}
ERRORS = {"ours-1": 0.5, "ours-2": 0.6, "ours-3": 0.7, "theirs-1": 0.4, "theirs-2": 0.4, "theirs-3": 0.4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seeds")
    for encoder, right in RIGHT.items():
        for channels, lost in {"DNA_AGP_Mito": 0, "DNA_ER_RNA": 1}.items():
            write_probe(root, encoder, channels, {"release": {name: value - lost for name, value in right.items()}})
    for run, error in ERRORS.items():
        epochs = pd.DataFrame({"epoch": [1, 1, 2, 2], "split": ["train", "val"] * 2})
        write_table(
            epochs.assign(masked_error=[np.nan, 1.0, np.nan, error], masked_error_DNA=[np.nan, 2.0, np.nan, error]),
            root / f"pretrain/{run}/metrics.parquet",
        )
    return root


@pytest.fixture(scope="module")
def results(folder: Path) -> list[ProbeResult]:
    return probe_results(sorted(folder.glob("probes/*/*/scores.parquet")))


def test_each_family_is_one_row_with_its_interval_over_seeds(results: list[ProbeResult], folder: Path) -> None:
    metrics = seeds.metrics_by_run(sorted(folder.glob("pretrain/*/metrics.parquet")))
    table = seeds.build(results, REPEATS, OPTIONS, metrics)
    data = table.data.set_index(["encoder", "channels", "quantity"]).sort_index()
    test = data.loc[("ours", "DNA_AGP_Mito", "test")]
    # Seeds have 0.75, 0.85 and 0.65: mean 0.75, SD 0.1, and Student's t with two degrees of freedom is 4.303.
    assert test["value"] == pytest.approx(0.75) and test["sd"] == pytest.approx(0.1)
    assert (test["low"], test["high"]) == pytest.approx((0.75 - 0.2484, 0.75 + 0.2484), abs=1e-4)
    assert data.loc[("ours", "DNA_AGP_Mito", MEAN), "value"] == pytest.approx(0.65)
    assert data.loc[("ours", "DNA_ER_RNA", MEAN), "value"] == pytest.approx(0.55)
    assert data.loc[("ours", "", "masked_error_DNA"), "value"] == pytest.approx(0.6)
    twin = data.loc[("twin", "DNA_AGP_Mito", MEAN)]
    assert twin["n_seeds"] == 1 and np.isnan(twin["low"])
    assert list(table.layout["Encoder"]) == ["Ours", "", "theirs", "", "Twin", ""]
    assert list(table.layout["Seeds"]) == ["3", "3", "3", "3", "1", "1"]
    assert table.layout.loc[0, "ID compound + ID plate"] == "0.750 [0.502, 0.998]"
    assert list(table.layout["Masked error, Nu"])[:3] == ["0.600 [0.352, 0.848]", "", "0.400 [0.400, 0.400]"]
    assert "Ours 0.650" in table.answer and "Masked error" in table.notes[1]


def test_without_runs_there_are_no_masked_errors(results: list[ProbeResult]) -> None:
    table = seeds.build(results, REPEATS, OPTIONS)
    assert not any("Masked" in column for column in table.layout) and len(table.notes) == 1


def test_differences_pair_encoders_of_the_same_seed(results: list[ProbeResult]) -> None:
    data = seed_differences.collect(results, REPEATS, OPTIONS)
    means = data[data["split"] == MEAN].set_index(["encoder", "other", "channels"])
    assert list(means.index) == [
        (first, second, channels)
        for first, second in (("ours", "theirs"), ("ours", "twin"), ("theirs", "twin"))
        for channels in ("DNA_AGP_Mito", "DNA_ER_RNA")
    ]
    assert set(data["split"]) == {*SPLITS, MEAN}
    same = means.loc[("ours", "theirs", "DNA_AGP_Mito")]
    # By seed the means over the quadrants differ by 0, 0.05 and -0.05.
    assert same["difference"] == pytest.approx(0) and same["sd_seeds"] == pytest.approx(0.05)
    assert not same["holds"] and same["n_seeds"] == 3
    twin = means.loc[("ours", "twin", "DNA_AGP_Mito")]
    assert twin["difference"] == pytest.approx(0.4) and twin["low"] > 0
    assert twin["low"] == pytest.approx(twin["low_seeds"])  # the plates are alike: nothing to add
    assert list(means["p_holm"]) == pytest.approx(list(holm(means["p"])))


def test_only_differences_that_hold_after_the_adjustment_are_named(results: list[ProbeResult]) -> None:
    table = seed_differences.build(results, REPEATS, OPTIONS)
    bold = [text.startswith("**") for text in table.layout["Difference"]]
    means = table.data[table.data["split"] == MEAN]
    assert bold == list(means["holds"]) and any(bold) and not all(bold)
    assert table.answer.startswith(f"{sum(bold)} of 6 comparisons")
    assert "Ours minus theirs" not in table.answer


def test_encoders_of_other_seeds_are_not_paired(results: list[ProbeResult]) -> None:
    shifted = {**REPEATS, "theirs": [("theirs-2", 2, ""), ("theirs-3", 3, "")]}
    data = seed_differences.collect(results, shifted, OPTIONS)
    found = data[(data["encoder"] == "ours") & (data["other"] == "theirs")]
    assert set(found["n_seeds"]) == {2} and found["low"].isna().all() and not found["holds"].any()
    two = {name: members[1:] for name, members in REPEATS.items()}
    answer = seed_differences.build(results, two, OPTIONS).answer
    assert answer == "Fewer than three seeds, or plates, allow no interval and no verdict."


def test_a_run_without_seeds_has_no_table(results: list[ProbeResult]) -> None:
    with pytest.raises(DataError, match="differ only in their seed"):
        seeds.build(results, {}, OPTIONS)
    with pytest.raises(DataError, match="can be compared"):
        seed_differences.build(results, {}, OPTIONS)
