"""Reading JUMP's plate and well tables and the sheet of plates; every value stays text."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core.columns import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, WELL, WELL_KEYS
from campfire.core.errors import CampfireError, ConfigError, DataError
from campfire.core.options import plausible_pixel_size
from campfire.core.text import some
from campfire.screen.metadata.jump import PAPER_OOD_PLATES, ROLES
from campfire.screen.names import name_problem
from campfire.screen.sheets import read_sheet_file, refuse_rows, warn_of_doubtful_names
from campfire.screen.wells import FORMAT_COLUMN, FORMATS, check_wells, well_name, well_problem

INCHIKEY = "Metadata_InChIKey"
SHEET_COLUMNS = [SOURCE, BATCH, PLATE, PLATE_TYPE, "role"]
PIXEL_SIZE = "pixel_size_um"
OWN_CHANNELS = "channels"
"""Optional columns of the sheet: pixel size of a plate (um), and its channels (DNA+AGP); blank as in the config."""


def read_sheet(path: str | Path) -> pd.DataFrame:
    """Read the sheet of plates (see `screen.sheets`), one row per plate, in the file's order.

    Columns Metadata_Source, Metadata_Batch, Metadata_Plate, Metadata_PlateType and role (id, ood, train), all text;
    further columns are kept. Plates that differ from the config in pixel size or channels say so in the columns
    pixel_size_um and channels (`plate_channels`). Raises ConfigError naming file and line.
    """
    path = Path(path)
    table = read_sheet_file(path, SHEET_COLUMNS, "sheet of plates")
    if table.empty:
        raise ConfigError(f"{path}: the sheet names no plates; add a line for each plate")
    problems: dict[int, str] = {}
    first_line: dict[str, int] = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        plate = row[PLATE]
        problem = _sheet_row_problem(row)
        if not problem and plate in first_line:
            problem = f"plate {plate} is already on line {first_line[plate]}; remove one of the two"
        if problem:
            problems[int(number)] = problem
        first_line.setdefault(plate, int(number))
    refuse_rows(table, problems, path)
    warn_of_doubtful_names(table[PLATE], "plate", path)
    return table.reset_index(drop=True)


def plate_channels(row: Mapping[Any, Any]) -> list[str]:
    """The channels that a row of the sheet names, as in DNA+AGP+Mito; [] where it names none."""
    return [name for name in re.split(r"[+,;\s]+", str(row.get(OWN_CHANNELS) or "")) if name]


def empty_sheet() -> pd.DataFrame:
    """A sheet without plates, for a config with a transfer screen only."""
    return pd.DataFrame(columns=SHEET_COLUMNS, dtype=object)


def read_wells(path: str | Path, plates: pd.DataFrame | Iterable[str]) -> pd.DataFrame:
    """Read the wells of `plates` from JUMP's well table (csv, plain or gzip), in file order, all columns as text.

    `plates` is a sheet (then wells are taken by source and plate) or plate names. Wells that are written A1 or a01 are
    called A01. Raises DataError when a plate has no well, a well occurs twice, has no compound or is no well name.
    """
    path = Path(path)
    table = read_sheet_file(path, [SOURCE, PLATE, WELL, COMPOUND], "table of wells", DataError)
    if isinstance(plates, pd.DataFrame):
        names = list(plates[PLATE])
        source = plates.set_index(PLATE)[SOURCE]
        wells = table[table[PLATE].isin(names)]
        wells = wells[wells[PLATE].map(source) == wells[SOURCE]]
    else:
        names = [str(name) for name in plates]
        wells = table[table[PLATE].isin(names)]
    absent = sorted(set(names) - set(wells[PLATE]))
    if absent:
        named = f"plate{'s' if len(absent) > 1 else ''} {some(absent, 5)}"
        raise DataError(
            f"{path}: no wells of {named}; {_instead(table, absent[0])}; correct plate and source in the sheet or use "
            "the full well table"
        )
    wells = named_wells(wells, path, DataError)
    empty = wells[wells[COMPOUND] == ""]
    if len(empty):
        raise DataError(
            f"{path}, line {empty.index[0]}: {_some_wells(empty)} has no {COMPOUND}; give a compound id or remove the "
            "row"
        )
    warn_of_doubtful_names(wells[COMPOUND], "compound", path)
    return wells.reset_index(drop=True)


def _instead(table: pd.DataFrame, plate: str) -> str:
    """What the table has in place of a plate that is absent: the plate of another source, without its zeros, others."""
    same = sorted(set(table.loc[table[PLATE] == plate, SOURCE]))
    if same:
        return f"plate {plate} is there with source {some(same, 3)}"
    plates = list(dict.fromkeys(table[PLATE]))
    bare = [name for name in plates if name.lstrip("0") == plate.lstrip("0")]
    if bare:
        return f"it has plate {bare[0]} (spreadsheets drop leading zeros: write such columns as text)"
    return f"it has plates such as {some(plates, 3)}" if plates else "it has no rows"


def named_wells(table: pd.DataFrame, path: str | Path, error: type[CampfireError] = ConfigError) -> pd.DataFrame:
    """A table of `read_sheet_file` with wells named as A01, each unique and on a possible plate format.

    The optional column Metadata_PlateFormat says how many wells the plate has (6 to 1536). Raises `error` with file,
    line, plate and well.
    """
    names = table[WELL].map(well_name)
    if names.isna().any():
        bad = table[names.isna()]
        problem = well_problem(bad[WELL].iloc[0])
        raise error(f"{path}, line {bad.index[0]}: {_some_wells(bad)} {problem}; correct the wells")
    table = table.assign(**{WELL: names})
    double = table[table.duplicated(WELL_KEYS)]
    if len(double):
        raise error(f"{path}, line {double.index[0]}: {_some_wells(double)} occurs twice; keep one row per well")
    for plate, rows in table.groupby(PLATE, sort=False):
        where = f"{path}: plate {plate}"
        try:
            check_wells(rows[WELL], where, _stated_format(rows, where))
        except DataError as problem:
            raise error(str(problem)) from problem
    return table


def _stated_format(rows: pd.DataFrame, where: str) -> int | None:
    """Number of wells of a plate by the column Metadata_PlateFormat; None if not given."""
    said = sorted(set(rows[FORMAT_COLUMN]) - {""}) if FORMAT_COLUMN in rows else []
    if not said:
        return None
    if len(said) > 1 or said[0] not in map(str, FORMATS):
        raise DataError(f"{where}: {FORMAT_COLUMN} is {', '.join(said)}; give one of {', '.join(map(str, FORMATS))}")
    return int(said[0])


def read_structures(path: str | Path) -> dict[str, str]:
    """Compound id to structure, from JUMP's compound table (csv, plain or gzip); compounds without one are left out.

    The structure is the first block of the InChIKey, which stands for atoms and bonds: stereoisomers and forms that
    differ in isotopes or protons share it.
    """
    table = read_sheet_file(path, [COMPOUND, INCHIKEY], "table of compounds", DataError)
    structure = table[INCHIKEY].str.partition("-")[0]
    return dict(zip(table.loc[structure != "", COMPOUND], structure[structure != ""], strict=True))


def find_well_table(metadata: str | Path) -> Path:
    """The well table in a folder of JUMP's metadata tables (or `metadata` itself if it is a file)."""
    folder = Path(metadata)
    if folder.is_file():
        return folder
    for name in ("well.csv.gz", "well.csv"):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"{folder}: has no well.csv.gz; give the folder with JUMP's metadata tables")


def read_plates(path: str | Path) -> pd.DataFrame:
    """Read JUMP's plate table (csv, plain or gzip), all columns as text."""
    columns = [SOURCE, BATCH, PLATE, PLATE_TYPE]
    return read_sheet_file(path, columns, "table of plates", DataError).reset_index(drop=True)


def make_sheet(
    plates: pd.DataFrame,
    source: str = "source_3",
    evaluation_type: str = "TARGET2",
    training_type: str = "COMPOUND",
    ood_plates: Iterable[str] = PAPER_OOD_PLATES,
) -> pd.DataFrame:
    """The sheet of one source from JUMP's plate table: `read_sheet`'s columns, evaluation plates first.

    Plates of `evaluation_type` get role ood when in `ood_plates`, else id; plates of `training_type` get role train.
    The defaults give the paper's 25 TARGET2 and 237 COMPOUND plates (section 2.1). Raises ConfigError for an OOD plate
    that the source does not have.
    """
    ood = set(ood_plates)
    chosen = plates[(plates[SOURCE] == source) & plates[PLATE_TYPE].isin([evaluation_type, training_type])].copy()
    unknown = sorted(ood - set(chosen.loc[chosen[PLATE_TYPE] == evaluation_type, PLATE]))
    if unknown:
        raise ConfigError(
            f"{source} has no {evaluation_type} plate {', '.join(unknown)}; correct the list of OOD plates"
        )
    chosen["role"] = "train"
    evaluation = chosen[PLATE_TYPE] == evaluation_type
    chosen.loc[evaluation, "role"] = "id"
    chosen.loc[evaluation & chosen[PLATE].isin(ood), "role"] = "ood"
    chosen["_training"] = ~evaluation
    return chosen.sort_values(["_training", BATCH, PLATE])[SHEET_COLUMNS].reset_index(drop=True)


def _sheet_row_problem(row: dict[Any, str]) -> str:
    """What is wrong with a row of the sheet of plates; "" when nothing is."""
    blank = [name for name in SHEET_COLUMNS if not row[name]]
    if blank:
        return f"{', '.join(blank)} is blank; fill it in"
    for kind, column in (("source", SOURCE), ("batch", BATCH), ("plate", PLATE)):
        if problem := name_problem(kind, row[column]):
            return f"{kind} {row[column]!r} {problem}"
    if row["role"] not in ROLES:
        return f"plate {row[PLATE]} has unknown role {row['role']!r}; use {', '.join(ROLES)}"
    return _optical_problem(row)


def _optical_problem(row: dict[Any, str]) -> str:
    """What is wrong with a plate's own pixel size or channels; "" when nothing is or it names none."""
    where = f"plate {row[PLATE]}"
    if size := row.get(PIXEL_SIZE):
        if not re.fullmatch(r"[0-9]*[.]?[0-9]+", size):
            return f"{where}: {PIXEL_SIZE} {size!r} is no number; give micrometres, or leave it blank for the config's"
        try:
            plausible_pixel_size(float(size))
        except ValueError as error:
            return f"{where}: {PIXEL_SIZE} {error}"
    channels = plate_channels(row)
    for channel in channels:
        if problem := name_problem("channel", channel):
            return f"{where}: channel {channel!r} {problem}"
    if len(set(channels)) < len(channels):
        return f"{where}: {OWN_CHANNELS} names a channel twice; name each once, as in DNA+AGP"
    return ""


def _some_wells(rows: pd.DataFrame) -> str:
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"plate {rows.iloc[0][PLATE]}, well {rows.iloc[0][WELL]!r}{more}"
