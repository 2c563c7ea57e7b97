"""Verdicts of tables: what intervals over plates and wells, few wells and uneven classes let them say."""

from pathlib import Path

import pandas as pd
import pytest

from campfire.core.files import write_table
from campfire.report import tables
from campfire.report.tables.render import interval
from campfire.report.tables.sources import ProbeResult
from campfire.report.tables.verdict import exceeds, verdict
from support.tables_synthetic import predictions, quadrants, write_probe, write_probes

OPTIONS = tables.TableOptions(
    encoders=["campfire", "untrained", "dino"], twins={"campfire": "untrained"}, replicates=200
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[ProbeResult]:
    folders = write_probes(tmp_path_factory.mktemp("results"))
    return tables.probe_results([folder / "scores.parquet" for folder in folders])


def without(results: list[ProbeResult], root: Path, wanted: str) -> list[ProbeResult]:
    """The results on the two compared channel sets, keeping the predictions for which the query `wanted` holds."""
    for result in results:
        if result.channels in ("DNA_AGP_Mito", "DNA_ER_RNA"):
            folder = root / result.encoder / result.channels
            write_table(result.predictions().query(wanted), folder / "predictions.parquet")
            write_table(result.scores(), folder / "scores.parquet")
    return tables.probe_results(sorted(root.glob("*/*")))


def test_two_ood_plates_speak_for_themselves_alone(results: list[ProbeResult], tmp_path: Path) -> None:
    fewer = without(results, tmp_path, "Metadata_Plate != 'P6'")
    table = tables.differences.build(fewer, OPTIONS)
    row = table.data.query("claim == 'campfire_trained' and split == 'mean'").iloc[0]
    assert (row["over"], row["verdict"], row["holds"], row["n_plates"]) == ("wells", "above zero", False, 2)
    assert pd.isna(row["low_plates"]) and pd.isna(row["p_holm"])
    assert "over wells of these plates, above zero there; fewer than 3 plates on a side" in table.answer
    gaps = tables.gaps.build(fewer, OPTIONS)
    assert "they are fewer than 3, so it does not extend to other plates" in gaps.answer
    assert set(gaps.layout["Over plates"]) == {"–"}


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0004, 0.093, "touches zero"),  # printed [0.000, +0.093]
        (0.0005, 0.093, "above zero"),  # printed [+0.001, +0.093]
        (-0.1, -0.0004, "touches zero"),
        (-0.1, -0.01, "below zero"),
        (-0.1, 0.0, "includes zero"),
        (float("nan"), 0.1, ""),
    ],
)
def test_a_verdict_says_no_more_than_its_bounds_in_print(low: float, high: float, text: str) -> None:
    assert verdict(low, high) == text
    shown = interval(low, high, signed=True)
    assert ("[0.000" in shown or "0.000]" in shown) == (text in ("touches zero", "includes zero"))


def test_two_wells_are_no_verdict_in_any_table(results: list[ProbeResult], tmp_path: Path) -> None:
    """Of the quadrants on OOD plates one well each of two compounds is left."""
    query = "Metadata_Plate <= 'P3' or (Metadata_Plate == 'P4' and Metadata_Well in ['A01', 'B01', 'A05', 'B05'])"
    few = without(results, tmp_path, query)
    accuracies = tables.accuracies.build(few, OPTIONS)
    outside = accuracies.data["split"].isin(["test_ood_plate", "test_ood_both"])
    assert accuracies.data.loc[outside, ["low", "high", "balanced_low"]].isna().all(axis=None)
    assert not accuracies.data.loc[outside, "above_chance"].any()
    assert accuracies.data.loc[~outside, "low"].notna().all()
    differences = tables.differences.build(few, OPTIONS)
    shown = tables.table_3_1.build(accuracies.data, OPTIONS, differences.data)
    cells = shown.layout[["ID compound + OOD plate", "OOD compound + OOD plate"]].to_numpy().ravel()
    assert not any("**" in cell or "[" in cell for cell in cells)
    assert "**" in "".join(shown.layout["ID compound + ID plate"])
    mean = differences.data.query("claim == 'campfire_trained' and split == 'mean'").iloc[0]
    assert mean["verdict"] == mean["over"] == "" and not mean["holds"]
    assert "+0.150 (no interval): fewer than 3 wells are no verdict." in differences.answer
    gaps = tables.gaps.build(few, OPTIONS)
    assert gaps.data["low"].isna().all() and "in 0 of" in gaps.answer


def test_balanced_accuracy_leads_where_classes_are_uneven(tmp_path: Path) -> None:
    """As under protocol paper: most control wells are of one compound, whose cells alone are found."""
    folders = []
    for encoder, right in (("campfire", quadrants(7, 6, 5, 4)), ("untrained", quadrants(5, 5, 5, 4))):
        folder = write_probe(tmp_path, encoder, "DNA_AGP_Mito", {"release": right})
        table = predictions(right, "release")
        copies = [
            table[table["truth"] == "C1"].assign(Metadata_Well=f"P{number:02d}", predicted="C1") for number in range(10)
        ]
        write_table(pd.concat([table, *copies], ignore_index=True), folder / "predictions.parquet")
        scores = pd.read_parquet(folder / "scores.parquet")
        control = scores["task"] == "control"
        scores.loc[control, "accuracy"] = 0.9
        write_table(scores, folder / "scores.parquet")
        folders.append(folder)
    results = tables.probe_results(folders)
    accuracies = tables.accuracies.build(results, OPTIONS).data
    row = accuracies.query("encoder == 'campfire' and split == 'test'").iloc[0]
    assert row["uneven"] and row["majority"] == pytest.approx(22 / 26) and row["low"] > row["majority"]
    assert row["above_chance"] == (round(row["balanced_low"], 3) > round(1 / 3, 3))
    assert not accuracies.query("split == 'test_ood_both'")["uneven"].any()
    table = tables.table_3_1.build(accuracies, OPTIONS)
    first = table.layout.iloc[0]
    assert (first["Model"], first[""]) == ("campfire", "balanced accuracy") and "**" in first["ID compound + ID plate"]
    assert "**" not in "".join(table.layout.loc[table.layout[""] == "accuracy", "ID compound + ID plate"])
    assert "intervals of balanced accuracy lie above chance" in table.answer
    assert set(tables.differences.build(results, OPTIONS).data["metric"]) == {"balanced_accuracy"}
    assert set(tables.gaps.build(results, OPTIONS).data["metric"]) == {"balanced_accuracy"}


def test_exceeding_is_seen_in_print() -> None:
    assert exceeds(0.1116, 0.1111) and not exceeds(0.1114, 0.1111) and not exceeds(float("nan"), 0.1)
