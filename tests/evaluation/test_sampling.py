"""Which cells are drawn: identical to the released sampler, and the protocols paper and strict."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import CELL_KEYS, COMPOUND, NUCLEUS, PLATE, PLATE_TYPE, SITE, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import write_table
from campfire.evaluation.sampling import COLUMNS, SampleOptions, draw_cells, draw_sample, label_cells, tiles_saved

LABELS = {
    "NaN": "unused",
    "test_out_plate_": "test_ood_plate",
    "test_out_compound": "test_ood_compound",
    "test_out_all_": "test_ood_both",
}


def well_name(rows: pd.Series, columns: pd.Series) -> pd.Series:
    return rows.map(lambda row: chr(64 + row)) + columns.map("{:02d}".format)


@pytest.fixture(scope="module")
def official(shared: Path) -> pd.DataFrame:
    """The authors' sampling input as our cells, in its row order; the nucleus is its row id."""
    cells = pd.read_parquet(shared / "data" / "official" / "probe" / "sampling_input.parquet")
    wells = pd.read_parquet(shared / "data" / "official" / "split" / "target2.parquet")
    cells = cells.assign(
        **{
            PLATE: cells["PLATE_BARCODE"],
            WELL: well_name(cells["ROW"], cells["COLUMN"]),
            SITE: "1",
            NUCLEUS: cells["row_id"],
        }
    )
    cells = cells.merge(wells, on=[PLATE, WELL], how="left")
    return cells.assign(split=cells["split"].replace(LABELS))


@pytest.mark.parametrize(("task", "name", "n"), [("control", "control_n5", 5), ("heldout", "heldout_n4", 4)])
def test_release_draws_the_authors_rows(shared: Path, official: pd.DataFrame, task: str, name: str, n: int) -> None:
    expected = pd.read_parquet(shared / "data" / "official" / "probe" / f"sampling_{name}.parquet")
    drawn = draw_cells(official, "release", task, n=n, sort=False, include_unused=True)
    assert drawn[NUCLEUS].tolist() == expected["row_id"].tolist()
    assert drawn["order"].tolist() == expected["order"].tolist()
    assert drawn[PLATE].tolist() == expected["PLATE_BARCODE"].tolist()
    assert drawn[COMPOUND].str.removeprefix("JCP").tolist() == expected["compound"].tolist()
    assert drawn["split"].tolist() == expected["split"].fillna("NaN").replace(LABELS).tolist()
    assert drawn[WELL].tolist() == well_name(expected["ROW"], expected["COLUMN"]).tolist()
    used = draw_cells(official, "release", task, n=n, sort=False)
    kept = drawn[drawn["split"] != "unused"].drop(columns="order").reset_index(drop=True)
    pd.testing.assert_frame_equal(used.drop(columns="order"), kept)
    assert used["order"].tolist() == list(range(len(used)))


@pytest.mark.parametrize("protocol", ["release", "paper", "strict"])
@pytest.mark.parametrize("task", ["control", "heldout"])
def test_order_of_plates_and_rows_does_not_matter(official: pd.DataFrame, protocol: str, task: str) -> None:
    first = draw_cells(official, protocol, task, n=3)
    again = draw_cells(official.sample(frac=1, random_state=1), protocol, task, n=3)
    pd.testing.assert_frame_equal(first, again)
    single = draw_cells(official[official[PLATE] == "JCPQC036"], protocol, task, n=3)
    of_all = first[first[PLATE] == "JCPQC036"].reset_index(drop=True)
    pd.testing.assert_frame_equal(single.drop(columns="order"), of_all.drop(columns="order"))


@pytest.mark.parametrize("task", ["control", "heldout"])
def test_paper_takes_n_of_each_well(official: pd.DataFrame, task: str) -> None:
    drawn = draw_cells(official, "paper", task, n=4, too_few="error")
    assert list(drawn.columns) == COLUMNS and drawn[NUCLEUS].dtype == np.int32 and drawn["order"].dtype == np.int32
    assert (drawn.groupby([PLATE, WELL]).size() == 4).all()
    assert "unused" not in set(drawn["split"]) and not drawn.duplicated(CELL_KEYS).any()
    runs = (drawn[[PLATE, WELL]] != drawn[[PLATE, WELL]].shift()).any(axis=1).sum()
    assert runs == len(drawn[[PLATE, WELL]].drop_duplicates()), "cells of a well are contiguous"
    if task == "control":
        dmso = drawn[(drawn[COMPOUND] == "JCP2022_033924") & (drawn["split"] == "test_ood_plate")]
        assert dmso[WELL].nunique() == 64


def test_a_smaller_draw_is_the_start_of_a_larger_one(official: pd.DataFrame) -> None:
    small, large = (draw_cells(official, "paper", "heldout", n=n) for n in (2, 5))
    start = large[large.groupby([PLATE, WELL]).cumcount() < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(small.drop(columns="order"), start.drop(columns="order"))


def test_strict_draws_the_papers_cells(official: pd.DataFrame) -> None:
    paper, strict = (draw_cells(official, protocol, "control", n=3) for protocol in ("paper", "strict"))
    pd.testing.assert_frame_equal(paper.drop(columns="protocol"), strict.drop(columns="protocol"))
    other = draw_cells(official, "paper", "control", n=3, seed=101)
    assert not paper.equals(other)


def test_every_cell_is_as_likely_as_another() -> None:
    cells = pd.DataFrame({PLATE: "P1", WELL: "A01", SITE: "1", NUCLEUS: range(1, 11), COMPOUND: "X", "split": "test"})
    hits = np.zeros(11)
    for seed in range(1000):
        hits[draw_cells(cells, "paper", "control", n=3, seed=seed, controls=["X"])[NUCLEUS]] += 1
    assert hits[1:].sum() == 3000
    assert np.all(np.abs(hits[1:] - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7))


def test_a_well_with_too_few_cells(official: pd.DataFrame, caplog: pytest.LogCaptureFixture) -> None:
    poor = official[~((official[WELL] == "P15") & (official.index % 7 > 0))]
    with pytest.raises(DataError, match=r"plate JCPQC\d+, .*cells but 40 are to be drawn.*sample\.control_cells"):
        draw_cells(poor, "paper", "control", n=40, too_few="error")
    with pytest.raises(DataError, match=r"lower sample\.heldout_cells"):
        draw_cells(poor, "release", "heldout", n=40, too_few="error")
    drawn = draw_cells(poor, "paper", "heldout", n=40)
    available = poor[poor["split"].isin(["test_ood_compound", "test_ood_both"])].groupby([PLATE, WELL]).size()
    pd.testing.assert_series_equal(drawn.groupby([PLATE, WELL]).size(), available.clip(upper=40))
    assert "fewer than 40 cells, all taken" in caplog.text


def screen() -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Two evaluation plates and a training plate, 20 nuclei a well, every fifth not kept."""
    plates = {"P1": "test", "P2": "test_ood_plate", "T1": "train"}
    wells, nuclei = [], []
    for plate, split in plates.items():
        for i, compound in enumerate(["NEG", "NEG", "HELD", "OTHER"]):
            label = split if plate == "T1" or compound != "HELD" else split.replace("test", "test_ood_compound")
            label = {"test_ood_compound_ood_plate": "test_ood_both"}.get(label, label)
            label = "unused" if i == 1 else label
            kind = "COMPOUND" if plate == "T1" else "TARGET2"
            wells.append({PLATE: plate, WELL: f"A0{i + 1}", COMPOUND: compound, PLATE_TYPE: kind, "split": label})
        ids = np.arange(1, 21)
        parts = [pd.DataFrame({PLATE: plate, WELL: f"A0{i}", SITE: "1", NUCLEUS: ids}) for i in range(1, 5)]
        nuclei.append(pd.concat(parts, ignore_index=True).assign(kept=np.tile(ids % 5 != 0, 4)))
    return nuclei, pd.DataFrame(wells)


def test_cells_are_labelled_by_key_on_evaluation_plates_only() -> None:
    nuclei, wells = screen()
    cells = label_cells(pd.concat(nuclei).sample(frac=1, random_state=0), wells.sample(frac=1, random_state=1))
    assert set(cells[PLATE]) == {"P1", "P2"} and len(cells) == 2 * 4 * 16
    assert not (cells[NUCLEUS] % 5 == 0).any()
    assert set(cells.loc[cells[WELL] == "A03", "split"]) == {"test_ood_compound", "test_ood_both"}


def test_sample_of_all_protocols_and_what_it_saves(tmp_path: Path) -> None:
    nuclei, wells = screen()
    options = SampleOptions(control_cells=6, heldout_cells=4, reference_cells=5)
    sample, report = draw_sample(nuclei[::-1], wells, options, controls=["NEG"])
    assert list(sample.columns) == COLUMNS and sample["order"].dtype == np.int32
    assert sample.groupby(["protocol", "task"]).size().to_dict() == {
        (protocol, task): 2 * n
        for protocol in ("release", "paper", "strict")
        for task, n in (("control", 6), ("heldout", 4))
    } | {("reference", "reference"): 2 * 5}
    assert set(sample.loc[sample["task"] == "reference", WELL]) == {"A02"}
    for _, rows in sample.groupby(["protocol", "task"]):
        assert rows["order"].tolist() == list(range(len(rows))) and rows[PLATE].is_monotonic_increasing
    union = report.iloc[-1]
    assert union["cells_available"] == 2 * 3 * 16
    assert union["cells"] == len(sample[sample["task"] != "reference"].drop_duplicates(CELL_KEYS))
    assert union["saved"] == pytest.approx(1 - union["cells"] / 96)
    paths = []
    for i, table in enumerate(nuclei):
        paths.append(tmp_path / f"{i}.parquet")
        write_table(table, paths[-1])
    pd.testing.assert_frame_equal(draw_sample(paths, wells, options, controls=["NEG"])[0], sample)


def test_wells_without_any_nucleus_are_named(caplog: pytest.LogCaptureFixture) -> None:
    nuclei, wells = screen()
    nuclei[1] = nuclei[1][nuclei[1][WELL] != "A03"]
    options = {"control_cells": 6, "heldout_cells": 4}
    sample, _ = draw_sample(nuclei, wells, SampleOptions(**options), controls=["NEG"])
    assert set(sample.loc[sample["task"] == "heldout", PLATE]) == {"P1"}
    assert "1 wells of the probes have no kept nucleus, the first: plate P2, well A03" in caplog.text
    with pytest.raises(DataError, match="plate P2, well A03: has no kept nucleus to draw"):
        draw_sample(nuclei, wells, SampleOptions(**options, too_few="error"), controls=["NEG"])


def test_groups_with_few_cells_are_told_once_for_all_plates(caplog: pytest.LogCaptureFixture) -> None:
    nuclei, wells = screen()
    draw_sample(nuclei, wells, SampleOptions(control_cells=17, heldout_cells=4), controls=["NEG"])
    told = [record.getMessage() for record in caplog.records if "fewer than" in record.getMessage()]
    # A well of 16 kept cells on each of two plates: a group of protocol release and one of the others.
    assert told == [
        "control: 4 groups have fewer than 17 cells, all taken; fewest: plate P1, NEG test with 16",
        "reference: 2 groups have fewer than 100 cells, all taken; fewest: plate P1, well A02 with 16",
    ]


def test_a_well_with_few_cells_is_named_as_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    nuclei, wells = screen()
    draw_sample(nuclei, wells, SampleOptions(control_cells=4, heldout_cells=17, reference_cells=4), controls=["NEG"])
    (message,) = [record.getMessage() for record in caplog.records if "fewer than" in record.getMessage()]
    assert re.search(r"^heldout: \d+ groups .* fewest: plate P\d, well A0\d with 16$", message), message


def test_saved_share_is_of_distinct_cells() -> None:
    keys = pd.DataFrame({PLATE: "P", WELL: "A01", SITE: "1", NUCLEUS: [1, 2, 1, 2]})
    sample = keys.assign(protocol=["paper", "paper", "strict", "strict"], task="control")
    assert tiles_saved(sample, 8)["cells"].tolist() == [2, 2, 2]
    assert tiles_saved(sample, 8)["saved"].tolist() == [0.75, 0.75, 0.75]


def test_wrong_input_is_named() -> None:
    nuclei, wells = screen()
    with pytest.raises(ConfigError, match="'papr' is not one of release"):
        SampleOptions(protocols=["papr"])
    with pytest.raises(ConfigError, match="heldout_cells: 0 must be at least 1"):
        SampleOptions(heldout_cells=0)
    with pytest.raises(DataError, match="P1: its nuclei come twice"):
        draw_sample([nuclei[0], nuclei[0]], wells, SampleOptions(), controls=["NEG"])
    with pytest.raises(DataError, match="no column Metadata_JCP2022, split"):
        draw_cells(nuclei[0], "paper", "control")
    cells = label_cells(pd.concat([nuclei[0], nuclei[0]]), wells)
    with pytest.raises(DataError, match="plate P1, well A01, site 1: nucleus 1 occurs twice"):
        draw_cells(cells, "paper", "control", controls=["NEG"])
    with pytest.raises(DataError, match="no cell of any control"):
        draw_sample([nuclei[2]], wells, SampleOptions(), controls=["NEG"])


@pytest.mark.parametrize(
    ("classes", "told"),
    [("every", {"NEG", "NEG2", "POS"}), ("merged", {"NEG", "POS"}), ("positive", {"POS"})],
)
def test_two_negative_controls_are_no_silent_classes(
    classes: str, told: set[Any], caplog: pytest.LogCaptureFixture
) -> None:
    nuclei, wells = screen()
    well = wells["Metadata_Well"]  # the second well of NEG has no role in `screen`; here it is another control's
    wells["Metadata_JCP2022"] = wells["Metadata_JCP2022"].mask(well == "A02", "NEG2").mask(well == "A04", "POS")
    wells["split"] = wells["split"].mask(well == "A02", wells["split"].shift(1))
    options = SampleOptions(protocols=["paper"], control_cells=3, heldout_cells=2, control_classes=classes)
    with caplog.at_level("INFO"):
        sample, _ = draw_sample(nuclei, wells, options, ["NEG", "NEG2", "POS"], ["NEG", "NEG2"])
    assert set(sample.loc[sample["task"] == "control", "Metadata_JCP2022"]) == told
    assert f"classes of the control task: {', '.join(sorted(told))}" in caplog.text
    assert ("tells the negative controls NEG and NEG2 apart" in caplog.text) == (classes == "every")
    plain, _ = draw_sample(nuclei, wells, options.changed(control_classes="every"), ["NEG", "NEG2", "POS"])
    # The same cells are embedded, so that negative controls normalise their plates whatever they are to the probe.
    assert set(map(tuple, plain[CELL_KEYS].to_numpy())) == set(map(tuple, sample[CELL_KEYS].to_numpy()))
