"""The sheet that describes a transfer screen, one row per well."""

from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core import columns as names
from campfire.core.errors import ConfigError
from campfire.screen.metadata.tables import named_wells
from campfire.screen.names import name_problem
from campfire.screen.sheets import read_sheet_file, refuse_rows, warn_of_doubtful_names

SHEET_COLUMNS = [names.SOURCE, names.BATCH, names.PLATE, names.WELL, "group", "control", "treatment", "role"]
CONTROLS = ("neg", "pos", "")
ROLES = ("train", "heldout")


def read_sheet(path: str | Path) -> pd.DataFrame:
    """Read and check a transfer sheet (see `screen.sheets`), sorted by plate and well.

    Columns: `Metadata_Source, Metadata_Batch, Metadata_Plate, Metadata_Well` (`A01`), `group` (e.g. the polarisation),
    `control` (neg, pos or empty), `treatment` (gene or compound; a control is a treatment too), `role` (train or
    heldout, one per plate). Other columns are kept. Raises ConfigError, naming the line, where it is not usable.
    """
    sheet = read_sheet_file(path, SHEET_COLUMNS, "transfer sheet")
    if sheet.empty:
        raise ConfigError(f"{path}: the transfer sheet names no well; add a line for each well")
    problems = {
        int(line): problem
        for line, row in zip(sheet.index, sheet.to_dict("records"), strict=True)
        if (problem := _row_problem(row))
    }
    refuse_rows(sheet, problems, path)
    sheet = named_wells(sheet, path)
    roles = sheet.groupby(names.PLATE)["role"].nunique()
    if (roles > 1).any():
        raise ConfigError(f"{path}: plate {roles[roles > 1].index[0]} has wells of both roles; a plate has one role")
    for column in (names.PLATE, "group", "treatment"):
        warn_of_doubtful_names(sheet[column], column.removeprefix("Metadata_").lower(), path)
    return sheet.sort_values(names.WELL_KEYS, ignore_index=True)


def _row_problem(row: dict[Any, str]) -> str:
    """The error in a row of the sheet; "" when there is none."""
    where = f"plate {row[names.PLATE]}, well {row[names.WELL]}: "
    for kind, column in (("source", names.SOURCE), ("batch", names.BATCH), ("plate", names.PLATE)):
        if problem := name_problem(kind, row[column]):
            return f"{kind} {row[column]!r} {problem}"
    if row["control"] not in CONTROLS:
        return f"{where}`control` ({row['control']!r}) is neither neg, pos nor empty"
    if row["role"] not in ROLES:
        return f"{where}`role` ({row['role']!r}) is neither train nor heldout"
    if not row["treatment"]:
        return f"{where}`treatment` is empty; name the gene or compound, controls included"
    if row["control"] and not row["group"]:
        return f"{where}`group` is empty for a control well"
    return ""


def has_control_groups(sheet: pd.DataFrame | None) -> bool:
    """Whether plates of one role hold two control groups of at least two wells each, as a Z' needs."""
    if sheet is None:
        return False
    controls = sheet[sheet["control"] != ""]
    sizes = controls.groupby(["role", "control", "group"]).size()
    return bool((sizes[sizes > 1].groupby("role").size() > 1).any())


def check_trainable(sheet: pd.DataFrame, path: str | Path = "transfer sheet") -> None:
    """Raise ConfigError when a head cannot be trained on a sheet of `read_sheet`; embedding alone needs less."""
    for role in ROLES:
        if not (sheet["role"] == role).any():
            raise ConfigError(
                f"{path}: no plate has role `{role}`; training and held-out plates are both needed; to go without a "
                "head set transfer.head: null"
            )
    wells = sheet[sheet["role"] == "train"].groupby("treatment").size()
    if len(wells) < 2 or wells.max() < 2:
        raise ConfigError(
            f"{path}: the train plates have {len(wells)} treatments with at most {int(wells.max())} wells each; a "
            "triplet needs two treatments, one of them with two wells; to go without a head set transfer.head: null"
        )
