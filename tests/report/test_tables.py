"""Tables: numbers against hand calculation, text in every format, errors a user can act on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import ConfigError, DataError
from campfire.report import figures, tables
from campfire.report.tables import paper
from campfire.report.tables.claims import default
from support.tables_synthetic import CELLS, OPTIONS, predictions, quadrants, summary, wells, write_probe, zprime


def one(data: Any, **where: Any) -> Any:
    for column, value in where.items():
        data = data[data[column] == value]
    assert len(data) == 1
    return data.iloc[0]


def test_accuracies_are_means_over_fits(accuracies: Any) -> None:
    row = one(accuracies.data, encoder="campfire", channels="DNA_AGP_Mito", protocol="release", split="test")
    # Fit 0 has 7 of 10 right in the mean of its wells, fit 1 has 8.
    assert row["accuracy"] == pytest.approx(0.75)
    assert row["sd"] == pytest.approx(0.05)
    assert row["sd_sample"] == pytest.approx(0.05 * np.sqrt(2))
    assert (row["n_fits"], row["n_wells"], row["n_cells"], row["n_classes"]) == (2, 18, 18 * CELLS, 3)
    assert row["chance"] == row["majority"] == pytest.approx(1 / 3)
    assert row["macro_f1"] == pytest.approx(0.74)
    assert row["low"] < row["accuracy"] < row["high"]
    assert row["channel_label"] == "Nu + Ac + M"
    # The order of print: encoders as listed, small channel sets first.
    assert list(dict.fromkeys(accuracies.data["encoder"])) == ["campfire", "untrained", "dino"]
    own = accuracies.data[accuracies.data["encoder"] == "campfire"]
    assert list(dict.fromkeys(own["channels"]))[:5] == ["DNA", "AGP", "Mito", "DNA_AGP", "DNA_AGP_Mito"]


def test_majority_shows_an_unbalanced_sample(tmp_path: Path) -> None:
    table = predictions(quadrants(7, 7, 7, 7), "release")
    table = table[~((table["truth"] == "C2") & (table["Metadata_Plate"] != "P1"))]
    folder = write_probe(tmp_path, "e", "DNA", {"release": quadrants(7, 7, 7, 7)})
    table.to_parquet(folder / "predictions.parquet")
    data = tables.accuracies.collect(tables.probe_results([folder]), tables.TableOptions(replicates=50))
    row = one(data, split="test")
    assert row["majority"] == pytest.approx(3 / 7) and row["chance"] == pytest.approx(1 / 3)


def test_a_single_fit_has_no_spread(accuracies: Any) -> None:
    several = tables.table_3_1.build(accuracies.data, OPTIONS)
    assert " ± " in "".join(several.layout["ID compound + ID plate"]) and "2 fits (" in "".join(several.notes)
    single = tables.table_3_1.build(accuracies.data.assign(n_fits=1, sd=0.0), OPTIONS)
    ours = single.layout[single.layout[""] == "this run"]
    assert " ± " not in "".join(ours["ID compound + ID plate"])
    assert ": 1 fit (" in "".join(single.notes)


def test_table_3_1_beside_the_paper(accuracies: Any, results: Any) -> None:
    differences = tables.differences.build(results, OPTIONS).data
    table = tables.table_3_1.build(accuracies.data, OPTIONS, differences)
    row = one(table.data, encoder="campfire", split="test_ood_both")
    assert row["accuracy"] == pytest.approx(0.45)
    assert row["paper_mean"] == 0.220 and row["difference"] == pytest.approx(0.45 - 0.220)
    assert not row["same_task"]
    assert len(table.data) == 3 * 4
    ours = table.layout[table.layout[""] == "this run"]
    assert list(ours["Model"]) == ["Campfire", "Untrained twin", "DinoViT-S8"]
    # 0.75 against 0.65 in the first quadrant; equal in the others, where both are best.
    assert ours.iloc[0]["ID compound + ID plate"] == "**0.750 ± 0.050**"
    assert ours.iloc[2]["ID compound + ID plate"] == "0.650 ± 0.050"
    assert ours.iloc[2]["ID compound + OOD plate"].startswith("**")
    difference = table.layout[table.layout[""] == "difference"].iloc[0]
    assert difference["OOD compound + OOD plate"] == "+0.230 †"
    assert any("Not the paper's task" in note for note in table.notes)
    assert (
        "Untrained twin +0.150 [+0.150, +0.150] over plates" in table.answer
        and "of 12 intervals of accuracy lie" in table.answer
    )
    alone = tables.table_3_1.build(accuracies.data, OPTIONS).answer
    assert alone.endswith("above chance.") and "minus" not in alone  # no difference without its interval


def test_difference_is_unmarked_on_the_papers_task(accuracies: Any) -> None:
    data = accuracies.data.assign(n_classes=accuracies.data["task"].map(paper.CLASSES))
    table = tables.table_3_1.build(data, OPTIONS)
    assert table.data["same_task"].all()
    assert not any("†" in str(cell) for cell in table.layout.to_numpy().ravel())
    assert not any("†" in note for note in table.notes)


def test_table_3_2_pairs_channel_sets(accuracies: Any, results: Any) -> None:
    differences = tables.differences.build(results, OPTIONS).data
    table = tables.table_3_2.build(accuracies.data, OPTIONS, differences)
    assert list(dict.fromkeys(table.data["model"]))[:4] == [
        "Campfire / ID", "Untrained twin / ID", "DinoViT-S8 / ID", "Campfire / OOD",
    ]  # fmt: skip
    row = one(table.data, model="Campfire / OOD", split="test_ood_plate")
    assert row["channels"] == "DNA_ER_RNA" and row["accuracy"] == pytest.approx(0.55)
    assert row["paper"] == "0.353 ± 0.07"
    # 0.75 0.65 0.55 0.45 to 0.65 0.55 0.45 0.45
    assert "Campfire −0.075 [" in table.answer and "DinoViT-S8 0.000 [0.000, 0.000]" in table.answer
    assert tables.table_3_2.build(accuracies.data, OPTIONS).answer == ""


def test_paper_values_are_those_of_the_text(shared: Path) -> None:
    text = "".join(path.read_text(errors="ignore") for path in (shared / "paper").glob("*.txt"))
    rows = [line.split("\t") for line in text.splitlines() if line.count(" ± ") == 4]
    for name, row in paper.TABLE_3_1.items():
        printed = next(cells[1:5] for cells in rows if cells[0].split(" (")[0] == name)
        assert [value.text for value in row.values()] == printed
    for (name, kind), row in paper.TABLE_3_2.items():
        printed = next(cells[1:5] for cells in rows if cells[0] == f"{name} / {kind}")
        assert [value.text for value in row.values()] == printed


def test_differences_are_paired(results: Any) -> None:
    table = tables.differences.build(results, OPTIONS)
    row = one(table.data, claim="campfire_trained", split="mean")
    assert row["difference"] == pytest.approx(np.mean([0.2, 0.2, 0.1, 0.1]))
    # Both miss by the same amount in the same wells, so pairing leaves no spread at all.
    assert row["low"] == pytest.approx(row["high"]) == pytest.approx(row["difference"])
    assert row["low_plates"] == pytest.approx(row["difference"]) and row["n_plates"] == 3
    assert row["verdict"] == "above zero" and row["over"] == "plates" and row["holds"]
    assert row["n_wells"] == (3 * 3 + 3 * 3 + 3 * 4 + 3 * 4) * 2
    best = one(table.data, claim="campfire_channels", split="mean")
    assert best["second"] == "campfire/Mito"
    assert set(best["candidates"].split()) == {"campfire/DNA", "campfire/AGP", "campfire/Mito"}
    assert best["difference"] == pytest.approx(np.mean([0.2, 0.2, 0.1, 0.1]))
    mean = table.data[table.data["split"] == "mean"]
    assert len(mean) > 4 and table.answer.startswith(f"{mean['holds'].sum()} of {len(mean)} comparisons differ")
    largest = mean[mean["holds"]].sort_values("difference", key=abs).iloc[-1]
    assert table.answer.endswith(" over plates.") and f"the largest: {largest['statement']}, +" in table.answer
    tied = one(table.data, claim="campfire_dino_id", split="test_ood_both")
    assert tied["difference"] == 0 and tied["verdict"] == "includes zero" and not tied["holds"]


def test_claims_follow_from_what_is_there(results: Any) -> None:
    names = [claim.name for claim in default(results, OPTIONS)]
    assert names == [
        "campfire_trained", "campfire_trained_unseen", "campfire_channels", "campfire_dino_id", "campfire_dino_ood",
        "campfire_unseen", "untrained_unseen", "dino_unseen",
    ]  # fmt: skip
    few = [result for result in results if result.encoder != "untrained" and result.channels != "AGP"]
    assert [claim.name for claim in default(few, OPTIONS)] == [
        "campfire_dino_id", "campfire_dino_ood", "campfire_unseen", "dino_unseen",
    ]  # fmt: skip
    # Encoders that nobody configured are compared all the same.
    unknown = tables.TableOptions(replicates=50)
    assert next(claim.name for claim in default(few, unknown)) == "campfire_dino_id"
    two = [result for result in results if result.encoder == "campfire" and result.channels in ("AGP", "DNA_AGP")]
    (claim,) = default(two, unknown)
    assert (claim.first, claim.second) == (("campfire", "AGP"), (("campfire", "DNA_AGP"),))
    assert default(two[:1], unknown) == []


def test_configured_claims(results: Any) -> None:
    claim = {"statement": "S", "first": "campfire/DNA_AGP", "second": ["campfire/DNA", "campfire/AGP"]}
    options = tables.TableOptions(claims=[claim], replicates=50)
    data = tables.differences.collect(results, options)
    assert set(data["second"]) == {"campfire/AGP"} and set(data["statement"]) == {"S"}
    with pytest.raises(ConfigError, match="encoder/channel_set"):
        tables.differences.collect(results, tables.TableOptions(claims=[{**claim, "first": "campfire"}]))
    with pytest.raises(ConfigError, match=r"claims\.0\.first: is missing"):
        tables.differences.collect(results, tables.TableOptions(claims=[{"statement": "S", "second": "a/b"}]))
    with pytest.raises(DataError, match="no probe of encoder nobody"):
        tables.differences.collect(results, tables.TableOptions(claims=[{**claim, "first": "nobody/DNA"}]))


def test_differences_refuse_other_cells(tmp_path: Path) -> None:
    folders = [write_probe(tmp_path, name, "DNA", {"release": quadrants(5, 5, 5, 5)}) for name in ("a", "b")]
    table = pd.read_parquet(folders[1] / "predictions.parquet")
    table["Metadata_Nucleus"] += 100
    table.to_parquet(folders[1] / "predictions.parquet")
    options = tables.TableOptions(claims=[{"statement": "S", "first": "a/DNA", "second": "b/DNA"}])
    with pytest.raises(DataError, match="a/DNA and probes/b/DNA"):
        tables.differences.collect(tables.probe_results(folders), options)


def test_gaps(results: Any) -> None:
    table = tables.gaps.build(results, OPTIONS)
    data = table.data
    row = one(data, encoder="campfire", channels="DNA_AGP_Mito", task="control")
    assert (row["id"], row["ood"], row["gap"]) == pytest.approx((0.75, 0.65, 0.10))
    assert row["low"] < row["gap"] < row["high"]
    assert (row["n_wells_id"], row["n_wells_ood"], row["n_classes"]) == (18, 18, 3)
    assert row["low_plates"] == pytest.approx(row["gap"]) == row["high_plates"]  # all plates of a side are alike
    assert (
        table.layout["Plates"][0] == f"{row['n_plates_id']} / {row['n_plates_ood']}" and "over plates" in table.answer
    )


def test_protocols_side_by_side(accuracies: Any) -> None:
    table = tables.protocols.build(accuracies.data, OPTIONS)
    row = one(table.data, encoder="campfire", protocol="release", split="test")
    assert row["accuracy"] == pytest.approx(0.75)
    assert "release" in table.layout.columns and "paper" not in table.layout.columns
    assert table.layout["strict"][0].startswith("0.650 [")
    assert "highest first. release: Campfire 0.600, DinoViT-S8 0.575, Untrained twin 0.450; strict: " in table.answer
    with pytest.raises(DataError, match="fewer than two protocols"):
        tables.protocols.build(accuracies.data[accuracies.data["protocol"] == "strict"], OPTIONS)


def leakage_effects(shift: float = 0.0) -> pd.DataFrame:
    """leakage/{encoder}/{channels}.parquet: two sources of the held-out task, one of the control task."""
    rows = [
        ("control", "test", "last_epoch", 0.5, 0.49, 0.01, -0.02, 0.04, 9),
        ("heldout", "test_ood_compound", "scored_fold_chooses_epoch", 0.6, 0.5, 0.1, 0.05 + shift, 0.15, 42),
        ("heldout", "test_ood_compound", "release_over_strict", 0.6, 0.52, 0.08, -0.01, 0.16, 42),
    ]
    columns = ["task", "split", "source", "accuracy_with", "accuracy_without", "difference", "low", "high", "n_wells"]
    return pd.DataFrame(rows, columns=columns)


def test_sources_of_leakage_have_an_interval_each() -> None:
    table = tables.leakage.build({"dino": leakage_effects(-0.06), "campfire": leakage_effects()}, OPTIONS)
    assert list(dict.fromkeys(table.data["encoder"])) == ["campfire", "dino"]
    first, second = table.layout.iloc[0], table.layout.iloc[1]
    assert first["OOD compound + ID plate"] == "**+0.100 [+0.050, +0.150]**" and first["ID compound + ID plate"] == ""
    assert second["What is changed"] == "" and second["OOD compound + ID plate"] == "+0.100 [−0.010, +0.150]"
    assert "+0.080 [−0.010, +0.160] on OOD compound + ID plate (Campfire); 1 of 6 intervals" in table.answer
    with pytest.raises(DataError, match="run the rule `leakage_effects`"):
        tables.leakage.build({}, OPTIONS)
    with pytest.raises(DataError, match="encoder campfire: has no column source: an earlier version wrote it"):
        tables.leakage.build({"campfire": leakage_effects().rename(columns={"source": "leak"})}, OPTIONS)
    assert not any(note.startswith("Well positions") for note in table.notes)
    position = ("control", "test_ood_plate", "well_position", 0.3, 0.111, 0.189, 0.1, 0.3, 45)
    effects = leakage_effects()
    effects.loc[len(effects)] = list(position)
    table = tables.leakage.build({"campfire": effects}, OPTIONS)
    assert table.notes[-1].startswith("Well positions")
    row = table.layout[table.layout["What is changed"].str.startswith("Wells of one treatment")].iloc[0]
    assert row["ID compound + OOD plate"] == "**+0.189 [+0.100, +0.300]**"


def test_profiles_and_variance_side_by_side(tmp_path: Path) -> None:
    one_encoder = summary()
    table = tables.profiles.build({"campfire": one_encoder, "dino": one_encoder}, OPTIONS)
    assert list(table.layout["Embeddings"][:2]) == ["raw", "TVN"]
    first = table.layout.iloc[0]
    assert first["mAP above chance"] == "0.400 [0.300, 0.500]" and first["k-NN, wells"] == "–"
    assert "raw 0.400, TVN 0.500 (Campfire, mean over 2 quadrants)" in table.answer
    assert not table.data["metric"].str.startswith("variance").any()
    shares = tables.profiles.build_variance({"campfire": one_encoder}, OPTIONS)
    assert shares.layout.iloc[0]["Batch"] == "0.100 [0.050, 0.150]" and "Well" in shares.layout
    assert (
        shares.answer == "Of the variance of well means (Campfire): held-out compounds 50 %, batches and plates 20 %."
    )
    few = one_encoder[~one_encoder["metric"].str.startswith("variance")]
    empty = tables.profiles.build_variance({"campfire": few}, OPTIONS)
    assert "too few" in empty.answer
    tables.save(empty, tmp_path / "variance")
    read = pd.read_csv(tmp_path / "variance.csv")
    drawn = figures.profiles.prepare(table.data, read)
    assert read.empty and set(drawn["quantity"]) == {"map_normalized"}
    assert len(figures.profiles.draw(drawn).axes) == 1
    with pytest.raises(DataError, match="no encoder has a profile summary under protocol release"):
        tables.profiles.build({"campfire": one_encoder.assign(protocol="paper")}, OPTIONS)


def test_quadrants_counts() -> None:
    table = tables.quadrants.build(wells(), "release")
    target2 = table.data[table.data["Metadata_PlateType"] == "TARGET2"].set_index("split")
    assert target2["wells"].to_dict() == {
        "train": 3, "val": 3, "test": 3, "test_ood_plate": 10, "test_ood_compound": 12, "test_ood_both": 12,
        "unused": 1,
    }  # fmt: skip
    assert target2.loc["test_ood_both", "compounds"] == 4 and target2.loc["test_ood_both", "plates"] == 3
    assert table.answer == "44 of 46 wells have a role; 37 of them are test wells."
    assert len(table.notes) == 3 and "as new to the model as an OOD plate" in table.notes[1]
    assert table.notes[2].startswith(
        "6 of 7 compounds of two or more evaluation plates are in the same wells on all of them"
    )
    moved = wells()
    moved["Metadata_Well"] = [f"{well}{i}" for i, well in enumerate(moved["Metadata_Well"])]
    shared = moved.replace({"Metadata_Plate": {"P3": "P1"}})
    assert len(tables.quadrants.build(shared, "release").notes) == 1


def test_transfer_counts_each_pair_once() -> None:
    table = tables.transfer.build({"campfire": zprime(), "dino": zprime(-0.5)}, OPTIONS)
    assert len(table.data) == 2 * 6 * 2 * 2
    row = one(table.data, encoder="campfire", pair="neg-M1 – pos-M2", role="heldout", method="plain")
    assert row["zprime"] == pytest.approx(0.9 - 3 * 0.45)
    first = table.layout.iloc[0]
    assert first["Campfire"] == "0.45 [0.25, 0.55]" and first["Wells"] == "8 + 9"
    assert any("−∞" in cell for cell in table.layout["DinoViT-S8"])
    assert "Campfire: of 6 pairs 0 of 0.5 or more" in table.answer and "told apart" not in table.answer
    few = tables.transfer.build({"campfire": zprime().assign(n_target=2)}, OPTIONS)
    assert few.answer == ""
