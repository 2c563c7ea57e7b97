"""Wells per quadrant: the table of Figure 2.1."""

import pandas as pd

from campfire.core.columns import COMPOUND, PLATE, PLATE_TYPE, WELL
from campfire.core.files import read_table
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.render import Table
from campfire.screen.leave_out import LeaveOut, reasons
from campfire.screen.split import evaluation_plates, wells_per_quadrant


def build(wells: pd.DataFrame, protocol: str, leave_out: LeaveOut | None = None) -> Table:
    """wells: split/wells.parquet; protocol: of the split, for the notes. One row per plate type and label.

    Plates and wells of `leave_out` are not counted.
    """
    by_hand = reasons(wells, leave_out or {}) != ""
    wells, left_out = wells[~by_hand], wells[by_hand]
    data = wells_per_quadrant(wells)
    layout = pd.DataFrame(
        {
            "Plate type": data[PLATE_TYPE].where(~data[PLATE_TYPE].duplicated(), ""),
            "Label": data["split"],
            "Meaning": data["meaning"],
            "Plates": [f"{value:,}" for value in data["plates"]],
            "Compounds": [f"{value:,}" for value in data["compounds"]],
            "Wells": [f"{value:,}" for value in data["wells"]],
        }
    )
    total = int(data["wells"].sum())
    used = total - int(data.loc[data["split"] == "unused", "wells"].sum())
    tested = int(data.loc[data["split"].str.startswith("test"), "wells"].sum())
    notes: tuple[str, ...] = (
        f"Split protocol {protocol}. Every well has one label; compounds of a label are counted once, so a "
        "compound counts under every label that has a well of it.",
    )
    if len(left_out):
        notes += (
            f"{len(left_out):,} wells of {left_out[PLATE].nunique():,} plates are left out (`leave_out`) and are not "
            "counted: they were dropped after the split, which gives every other well the role it would have had.",
        )
    plates = {name: set(wells.loc[wells["split"] == name, PLATE]) for name in ("train", "test")}
    if plates["test"] and not plates["test"] & plates["train"]:
        notes += (
            "Test wells of ID compounds lie on plates without any training well: in that quadrant an ID plate is as "
            "new to the model as an OOD plate, and the two differ in the batch only.",
        )
    evaluated = wells[wells[PLATE].isin(evaluation_plates(wells))].sort_values([COMPOUND, PLATE, WELL])
    layouts = evaluated.groupby([COMPOUND, PLATE])[WELL].agg("/".join).groupby(COMPOUND).agg(["size", "nunique"])
    layouts = layouts[layouts["size"] > 1]
    fixed = int((layouts["nunique"] == 1).sum())
    if fixed:
        notes += (
            f"{fixed} of {len(layouts)} compounds of two or more evaluation plates are in the same wells on all of "
            "them: no split separates their effect from that of the well position; the table of leakage quantifies it.",
        )
    answer = f"{used:,} of {total:,} wells have a role; {tested:,} of them are test wells."
    return Table("Plates, compounds and wells of every part of the split.", data, layout, notes, answer)


def make(files: Files, settings: Settings) -> Table:
    """The table from split/wells.parquet."""
    return build(read_table(files["wells"][0]), settings.split_protocol, settings.leave_out)
