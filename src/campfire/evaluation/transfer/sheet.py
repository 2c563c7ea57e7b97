"""The sheet that describes a transfer screen, one row per well."""

from pathlib import Path

import pandas as pd

from campfire.core import columns as names
from campfire.core.errors import ConfigError
from campfire.screen.wells import WELL_PATTERN, well_name

SHEET_COLUMNS = [names.SOURCE, names.BATCH, names.PLATE, names.WELL, "group", "control", "treatment", "role"]
CONTROLS = ("neg", "pos", "")
ROLES = ("train", "heldout")


def read_sheet(path: str | Path) -> pd.DataFrame:
    """Read and check a transfer sheet (tab-separated text), sorted by plate and well.

    Columns: `Metadata_Source, Metadata_Batch, Metadata_Plate, Metadata_Well` (`A01`), `group` (e.g. the polarisation),
    `control` (neg, pos or empty), `treatment` (gene or compound; a control is a treatment too), `role` (train or
    heldout, one per plate). Other columns are kept. Raises ConfigError, naming the line, where it is not usable.
    """
    try:
        sheet = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, comment="#")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such transfer sheet") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a readable tab-separated sheet ({error})") from error
    missing = [column for column in SHEET_COLUMNS if column not in sheet]
    if missing:
        raise ConfigError(f"{path}: column `{missing[0]}` is missing; expected {', '.join(SHEET_COLUMNS)}")
    sheet = sheet.apply(lambda column: column.str.strip())
    sheet[names.WELL] = [well_name(well) or well for well in sheet[names.WELL]]
    rows = (
        (~sheet[names.WELL].str.fullmatch(WELL_PATTERN), names.WELL, "is not a well name such as A01"),
        (~sheet["control"].isin(CONTROLS), "control", "is neither neg, pos nor empty"),
        (~sheet["role"].isin(ROLES), "role", "is neither train nor heldout"),
        (sheet[names.PLATE] == "", names.PLATE, "is empty"),
        (sheet["treatment"] == "", "treatment", "is empty; name the gene or compound, controls included"),
        ((sheet["control"] != "") & (sheet["group"] == ""), "group", "is empty for a control well"),
    )
    for bad, column, why in rows:
        if bad.any():
            first = sheet[bad].iloc[0]
            raise ConfigError(
                f"{path}: plate {first[names.PLATE]}, well {first[names.WELL]}: `{column}` ({first[column]!r}) {why}"
            )
    twice = sheet[sheet.duplicated(names.WELL_KEYS)]
    if len(twice):
        first = twice.iloc[0]
        raise ConfigError(f"{path}: plate {first[names.PLATE]}, well {first[names.WELL]} is listed twice")
    roles = sheet.groupby(names.PLATE)["role"].nunique()
    if (roles > 1).any():
        raise ConfigError(f"{path}: plate {roles[roles > 1].index[0]} has wells of both roles; a plate has one role")
    return sheet.sort_values(names.WELL_KEYS, ignore_index=True)


def has_control_groups(sheet: pd.DataFrame | None) -> bool:
    """Whether plates of one role hold two control groups of at least two wells each, as a Z' needs."""
    if sheet is None:
        return False
    controls = sheet[sheet["control"] != ""]
    sizes = controls.groupby(["role", "control", "group"]).size()
    return bool((sizes[sizes > 1].groupby("role").size() > 1).any())


def check_trainable(sheet: pd.DataFrame, path: str | Path = "transfer sheet") -> None:
    """Raise ConfigError when a head cannot be trained on a sheet of `read_sheet`, which embedding alone allows."""
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
