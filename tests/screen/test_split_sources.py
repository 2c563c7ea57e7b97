"""Splitting by source: a laboratory out of distribution as a whole."""

import pandas as pd
import pytest

from campfire.core.columns import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, WELL
from campfire.core.errors import ConfigError
from campfire.screen.split import SplitOptions, assign_wells
from campfire.screen.split.sources import by_source

OPTIONS = SplitOptions(
    held_out=1, wells_train=1, wells_val=1, wells_test=1, controls=("C0",), compound_fraction=1.0, too_few="unused"
)


def sheet() -> pd.DataFrame:
    rows = [("ours", "B1", f"P{n}", "TARGET2", "id") for n in range(3)]
    rows += [("theirs", "B2", "Q1", "TARGET2", "id"), ("theirs", "B2", "Q2", "COMPOUND", "train")]
    rows += [("ours", "B3", "P3", "TARGET2", "ood"), ("ours", "B1", "P4", "COMPOUND", "train")]
    return pd.DataFrame(rows, columns=[SOURCE, BATCH, PLATE, PLATE_TYPE, "role"])


def wells() -> pd.DataFrame:
    rows = [(plate, f"A{n + 1:02d}", f"C{n}") for plate in sheet()[PLATE] for n in range(4)]
    return pd.DataFrame(rows, columns=[PLATE, WELL, COMPOUND])


def test_nothing_of_a_source_is_trained_on() -> None:
    options = OPTIONS.changed(ood_sources=("theirs",))
    roles = by_source(sheet(), options).set_index(PLATE)["role"]
    assert roles["Q1"] == "ood" and "Q2" not in roles and roles["P4"] == "train" and roles["P0"] == "id"
    table = assign_wells(sheet(), wells(), options)
    theirs = table[table[SOURCE] == "theirs"]
    assert set(theirs["split"]) == {"test_ood_plate", "test_ood_both"} and set(theirs[PLATE]) == {"Q1"}
    assert (table.loc[table[PLATE] == "P4", "split"] == "train").any()


def test_without_the_option_the_split_is_unchanged() -> None:
    pd.testing.assert_frame_equal(by_source(sheet(), OPTIONS), sheet())


def test_unknown_sources_are_named() -> None:
    with pytest.raises(ConfigError, match=r"no plate of the sheet is of source there; it has ours, theirs"):
        by_source(sheet(), OPTIONS.changed(ood_sources=("there",)))
