"""The split: identical to the released code's, and the protocols paper and strict."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, SPLITS, WELL
from campfire.core.files import read_table, read_table_metadata
from campfire.screen.metadata import CONTROLS, UNTREATED, read_sheet, read_wells
from campfire.screen.split import (
    SplitOptions,
    assign_wells,
    evaluation_plates,
    make_split,
    plates_with_wells,
    reference_wells,
    wells_per_quadrant,
    write_plates,
    write_split,
)
from campfire.screen.split.report import RELEASE_LABELS


@pytest.fixture(scope="module")
def screen(shared: Path, repository: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    sheet = read_sheet(repository / "config" / "plates.tsv")
    return sheet, read_wells(shared / "data" / "metadata" / "well.csv.gz", sheet)


@pytest.fixture(scope="module")
def release(screen: tuple[pd.DataFrame, pd.DataFrame]) -> Any:
    return make_split(*screen, SplitOptions())


@pytest.fixture(scope="module")
def summary(shared: Path) -> dict:
    return json.loads((shared / "data" / "official" / "split" / "summary.json").read_text())


def release_labels(table: pd.DataFrame, held_out: Collection[str]) -> np.ndarray:
    """The text that the released code gives each well: on training plates 'nan' and, for held-out compounds,
    'test_out_compound' where this project says unused. Shape (wells,), object.
    """
    labels = table["split"].map(RELEASE_LABELS).to_numpy(dtype=object)
    training = ~table[PLATE].isin(evaluation_plates(table)).to_numpy()
    unused = (table["split"] == "unused").to_numpy()
    held = table[COMPOUND].isin(held_out).to_numpy()
    labels[training & unused] = "nan"
    labels[training & unused & held] = "test_out_compound"
    return labels


def rows_digest(table: pd.DataFrame, labels: np.ndarray) -> str:
    """SHA-256 over plate, well, compound and label joined by tabs, rows by line feeds, sorted by plate and well."""
    rows = zip(table[PLATE], table[WELL], table[COMPOUND], labels, strict=True)
    return hashlib.sha256("\n".join("\t".join(row) for row in sorted(rows)).encode()).hexdigest()


def test_release_labels_every_target2_well_as_the_authors(shared: Path, release: Any) -> None:
    expected = pd.read_parquet(shared / "data" / "official" / "split" / "target2.parquet")
    table = release.wells[release.wells[PLATE_TYPE] == "TARGET2"]
    labels = release_labels(table, release.metadata["held_out_compounds"])
    ours = table.assign(split=labels)[[PLATE, WELL, COMPOUND, "split"]]
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), expected)


def test_release_holds_out_the_authors_compounds_in_their_order(shared: Path, release: Any) -> None:
    expected = (shared / "data" / "official" / "split" / "held_out_compounds.txt").read_text().split()
    assert release.metadata["held_out_compounds"] == expected


@pytest.mark.parametrize("kind", ["target2", "compound"])
def test_release_rows_have_the_authors_digest(release: Any, summary: dict, kind: str) -> None:
    labels = release_labels(release.wells, release.metadata["held_out_compounds"])
    rows = (release.wells[PLATE_TYPE] == kind.upper()).to_numpy()
    assert rows_digest(release.wells[rows], labels[rows]) == summary["rows_sha256"][kind]


def test_release_counts_of_compound_plates(release: Any, summary: dict) -> None:
    wells = release.metadata["wells"]["COMPOUND"]
    assert wells == {"train": 54635, "unused": 36294}
    assert release.metadata["unused"]["COMPOUND"] == {"not_drawn": 36204, "held_out_compound": 90}
    train = release.wells[(release.wells[PLATE_TYPE] == "COMPOUND") & (release.wells["split"] == "train")]
    assert train[COMPOUND].nunique() == summary["compound"]["train_compound_ids"]
    per_batch = {batch: facts["compound_train_wells"] for batch, facts in summary["batches"].items()}
    assert train[BATCH].value_counts().to_dict() == per_batch


def test_one_compound_is_a_well_short(release: Any) -> None:
    assert release.metadata["compounds_short_of_wells"] == {"JCP2022_092256": {"train": 14, "val": 2, "test": 3}}


def test_release_does_not_depend_on_the_order_of_sheet_and_wells(
    screen: tuple[pd.DataFrame, pd.DataFrame], release: Any
) -> None:
    sheet, wells = screen
    shuffled = assign_wells(sheet.sample(frac=1, random_state=3), wells.sample(frac=1, random_state=4), SplitOptions())
    pd.testing.assert_frame_equal(shuffled, release.wells)


def test_split_leaves_the_global_generator_alone(screen: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assign_wells(*screen, SplitOptions())
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_paper_trains_on_a_subset_of_release(screen: tuple[pd.DataFrame, pd.DataFrame], release: Any) -> None:
    paper = make_split(*screen, SplitOptions(protocol="paper"))
    compound = (paper.wells[PLATE_TYPE] == "COMPOUND").to_numpy()
    ours, theirs = paper.wells["split"].to_numpy(), release.wells["split"].to_numpy()
    assert np.array_equal(ours[~compound], theirs[~compound])
    assert (ours[compound] == "train").sum() == 45562
    assert set(theirs[compound & (ours == "train")]) == {"train"}


def test_strict_shares_no_batch_and_no_plate(screen: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    sheet, _ = screen
    strict = make_split(*screen, SplitOptions(protocol="strict"))
    wells = strict.wells
    train = wells[wells["split"] == "train"]
    ood = sheet[sheet["role"] == "ood"]
    assert not set(train[BATCH]) & set(ood[BATCH])
    assert UNTREATED not in set(wells.loc[wells["split"] != "unused", COMPOUND])
    assert not set(train[COMPOUND]) & set(strict.metadata["held_out_compounds"])
    plates = wells[wells[PLATE_TYPE] == "TARGET2"].groupby("split")[PLATE].agg(set)
    assert (len(plates["train"]), len(plates["val"]), len(plates["test"])) == (14, 2, 4)
    assert plates["train"].isdisjoint(plates["test"] | plates["val"]) and plates["val"].isdisjoint(plates["test"])
    paper = assign_wells(*screen, SplitOptions(protocol="paper"))
    compound = (wells[PLATE_TYPE] == "COMPOUND").to_numpy()
    assert set(paper["split"].to_numpy()[compound & (wells["split"] == "train").to_numpy()]) == {"train"}
    reasons = strict.metadata["unused"]["COMPOUND"]
    assert sum(reasons.values()) == strict.metadata["wells"]["COMPOUND"]["unused"]
    assert set(reasons) == {"not_drawn", "held_out_compound", "ood_batch", "untreated"}
    used = plates_with_wells(sheet, SplitOptions(protocol="strict"))
    assert len(used) == 262 - 47 and set(used) == set(wells.loc[wells["split"] != "unused", PLATE])
    assert plates_with_wells(sheet, SplitOptions()) == sheet[PLATE].tolist()
    evaluated = plates_with_wells(sheet, SplitOptions(compound_fraction=0.0))
    assert evaluated == sheet.loc[sheet["role"] != "train", PLATE].tolist()


@pytest.mark.parametrize("protocol", ["release", "paper", "strict"])
def test_protocols_keep_plates_and_compounds_apart(screen: tuple[pd.DataFrame, pd.DataFrame], protocol: str) -> None:
    sheet, wells = screen
    split = make_split(sheet, wells, SplitOptions(protocol=protocol))
    table, held = split.wells, set(split.metadata["held_out_compounds"])
    assert len(table) == len(wells) and set(table["split"]) <= set(SPLITS)
    role = table[PLATE].map(sheet.set_index(PLATE)["role"])
    label = table["split"]
    assert not held & set(CONTROLS)
    assert set(role[label.isin(["test_ood_plate", "test_ood_both"])]) == {"ood"}
    assert set(label[role == "ood"]) == {"test_ood_plate", "test_ood_both"}
    assert not held & set(table.loc[label.isin(["train", "val", "test", "test_ood_plate"]), COMPOUND])
    assert set(table.loc[label.isin(["test_ood_compound", "test_ood_both"]), COMPOUND]) == held
    chosen = table[(role == "id") & label.isin(["train", "val", "test"])]
    assert not chosen.duplicated([PLATE, COMPOUND]).any()
    assert len(evaluation_plates(table)) == 25


def test_quadrants_table(release: Any) -> None:
    table = wells_per_quadrant(release.wells).set_index([PLATE_TYPE, "split"])
    assert table["wells"].sum() == 100528
    assert table.index[0] == ("TARGET2", "train") and table.index[-1] == ("COMPOUND", "unused")
    assert tuple(table.loc[("TARGET2", "test_ood_both"), ["meaning", "plates", "compounds", "wells"]]) == (
        "OOD compound + OOD plate",
        5,
        60,
        315,
    )


def test_written_split_reads_back(release: Any, tmp_path: Path) -> None:
    path = tmp_path / "wells.parquet"
    write_split(path, release)
    pd.testing.assert_frame_equal(read_table(path), release.wells)
    stored = read_table_metadata(path)
    assert stored == json.loads(json.dumps(release.metadata))
    assert stored["options"]["compound_fraction"] == 0.6 and len(stored["controls"]) == 9


def small_screen(
    id_plates: int = 7, ood_plates: int = 2, train_plates: int = 2, compounds: int = 12
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A screen of a few plates whose wells each have their own compound; NEG has two wells on each plate."""
    roles = ["id"] * id_plates + ["ood"] * ood_plates + ["train"] * train_plates
    sheet = pd.DataFrame(
        {
            SOURCE: "source_9",
            BATCH: [f"B_{role}" for role in roles],
            PLATE: [f"P{i:02d}" for i in range(len(roles))],
            PLATE_TYPE: ["COMPOUND" if role == "train" else "TARGET2" for role in roles],
            "role": roles,
        }
    )
    ids = ["NEG", "NEG", "POS", *(f"C{i:02d}" for i in range(compounds))]
    rows = [
        {PLATE: plate, WELL: f"A{i + 1:02d}", COMPOUND: compound}
        for plate in sheet[PLATE]
        for i, compound in enumerate(ids)
    ]
    return sheet, pd.DataFrame(rows)


SMALL = {"held_out": 4, "wells_train": 5, "wells_val": 1, "wells_test": 1, "controls": ["NEG", "POS"]}


@pytest.mark.parametrize("protocol", ["release", "paper", "strict"])
def test_small_screen(protocol: str) -> None:
    split = make_split(*small_screen(), SplitOptions(protocol=protocol, **SMALL))
    table = split.wells[split.wells[PLATE_TYPE] == "TARGET2"]
    counts = pd.crosstab(table[COMPOUND], table["split"]).replace(0, np.nan)
    assert (counts["train"].dropna() == 5).all() and (counts["test"].dropna() == 1).all()
    assert counts["train"].count() == 10 and counts["test_ood_compound"].count() == 4


def test_reference_wells_are_surplus_wells_of_the_first_control(tmp_path: Path) -> None:
    screen = small_screen()
    without, several = (make_split(*screen, SplitOptions(**SMALL, reference_wells=n)) for n in (0, 3))
    pd.testing.assert_frame_equal(without.wells, several.wells)
    assert not reference_wells(without).any()
    added = several.wells[reference_wells(several)]
    assert set(added[COMPOUND]) == {"NEG"} and set(added["split"]) == {"unused"}
    assert sorted(added[PLATE]) == [
        f"P{i:02d}" for i in range(7)
    ]  # one of two on each ID plate, none is left on OOD ones
    for name, split in (("without", without), ("several", several)):
        write_plates([tmp_path / name / "P00.tsv"], split)
    lines = [(tmp_path / name / "P00.tsv").read_text().split() for name in ("without", "several")]
    assert set(lines[1]) - set(lines[0]) == set(added.loc[added[PLATE] == "P00", WELL])


def test_more_plates_than_asked_for_stay_unused() -> None:
    split = make_split(*small_screen(id_plates=12), SplitOptions(**SMALL))
    assert split.metadata["unused"]["TARGET2"] == {"surplus_plate": 10 * 5 + 5, "surplus_well": 7}
    everything = make_split(*small_screen(id_plates=12), SplitOptions(**{**SMALL, "wells_test": None}))
    assert everything.metadata["wells"]["TARGET2"]["test"] == 10 * 6


def test_held_out_by_name_and_seed() -> None:
    screen = small_screen()
    named = make_split(*screen, SplitOptions(**SMALL, held_out_compounds=["C03", "C01"]))
    assert named.metadata["held_out_compounds"] == ["C03", "C01"]
    first, second = (make_split(*screen, SplitOptions(**SMALL, seed=seed)).metadata for seed in (1, 2))
    assert first["held_out_compounds"] != second["held_out_compounds"]


def test_strict_leaves_out_other_forms_of_a_held_out_compound(caplog: pytest.LogCaptureFixture) -> None:
    sheet, wells = small_screen()
    structures = {"C01": "AAAA", "C05": "AAAA", "C06": "BBBB", "POS": "AAAA"}
    options = {**SMALL, "held_out_compounds": ["C01"]}
    with caplog.at_level("WARNING"):
        split = make_split(sheet, wells, SplitOptions(protocol="strict", **options), structures)
    assert "control POS has the structure of a held-out compound and keeps its role" in caplog.text
    labels = split.wells.groupby(COMPOUND)["split"].agg(set)
    assert labels["C05"] == {"unused"} and {"train", "test"} <= labels["POS"] and {"train", "test"} <= labels["C06"]
    reasons = split.metadata["unused"]
    assert reasons["TARGET2"]["same_structure"] == 9 and reasons["COMPOUND"]["same_structure"] == 2
    release = make_split(sheet, wells, SplitOptions(**options), structures)
    pd.testing.assert_frame_equal(release.wells, make_split(sheet, wells, SplitOptions(**options)).wells)
    with caplog.at_level("WARNING"):
        make_split(sheet, wells, SplitOptions(protocol="strict", **options))
    assert "distinguished by id only" in caplog.text


def test_training_plates_alone() -> None:
    sheet, wells = small_screen(id_plates=0, ood_plates=0)
    split = make_split(sheet, wells, SplitOptions(held_out=0, compound_fraction=1.0))
    assert set(split.wells["split"]) == {"train"}


def test_a_compound_on_too_few_plates() -> None:
    sheet, wells = small_screen()
    wells = wells[~((wells[COMPOUND] == "C00") & wells[PLATE].isin(["P00", "P01"]))]
    options = {**SMALL, "held_out_compounds": ["C01"]}
    with pytest.raises(match=r"compound C00 is on 5 plates of role id.*split\.too_few: unused"):
        make_split(sheet, wells, SplitOptions(**options))
    split = make_split(sheet, wells, SplitOptions(**options, too_few="unused"))
    assert set(split.wells.loc[split.wells[COMPOUND] == "C00", "split"]) <= {"unused", "train"}
    on_target2 = (split.wells[COMPOUND] == "C00") & (split.wells[PLATE_TYPE] == "TARGET2")
    assert set(split.wells.loc[on_target2, "split"]) == {"unused"}
