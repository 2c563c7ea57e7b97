"""Reading JUMP's plate and well tables and the sheet of plates; every value stays text."""

import csv
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from campfire.core.columns import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, WELL, WELL_KEYS
from campfire.core.errors import ConfigError, DataError
from campfire.core.text import some
from campfire.screen.metadata.jump import PAPER_OOD_PLATES, ROLES
from campfire.screen.wells import WELL_PATTERN, well_name

INCHIKEY = "Metadata_InChIKey"
SHEET_COLUMNS = [SOURCE, BATCH, PLATE, PLATE_TYPE, "role"]

_PLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def read_sheet(path: str | Path) -> pd.DataFrame:
    """Read the sheet of plates: tab-separated text (comma for *.csv), one row a plate, in the file's order.

    Columns Metadata_Source, Metadata_Batch, Metadata_Plate, Metadata_PlateType and role (id, ood, train), all text;
    further columns are kept. Lines that start with # and blank lines are skipped. Raises ConfigError naming file and
    line.
    """
    path = Path(path)
    lines = _numbered_lines(path)
    if not lines:
        raise ConfigError(f"{path}: the sheet is empty; write a header line with {', '.join(SHEET_COLUMNS)}")
    delimiter = "," if path.suffix.lower() == ".csv" else "\t"
    rows = [(number, [cell.strip() for cell in cells]) for number, cells in _split(lines, delimiter)]
    header_line, header = rows[0]
    missing = [name for name in SHEET_COLUMNS if name not in header]
    if missing:
        raise ConfigError(
            f"{path}, line {header_line}: no column {', '.join(missing)}; the header needs {', '.join(SHEET_COLUMNS)} "
            f"separated by {'commas' if delimiter == ',' else 'tabs'}"
        )
    if len(set(header)) != len(header):
        raise ConfigError(f"{path}, line {header_line}: a column name occurs twice; keep one of them")
    if len(rows) == 1:
        raise ConfigError(f"{path}: the sheet names no plate; add a line for each plate")
    first_line: dict[str, int] = {}
    for number, cells in rows[1:]:
        _check_sheet_row(f"{path}, line {number}", header, cells)
        plate = cells[header.index(PLATE)]
        if plate in first_line:
            raise ConfigError(
                f"{path}, line {number}: plate {plate} is already on line {first_line[plate]}; remove one of the two"
            )
        first_line[plate] = number
    return pd.DataFrame([cells for _, cells in rows[1:]], columns=header, dtype=object)


def empty_sheet() -> pd.DataFrame:
    """A sheet without plates: of a config that has a transfer screen alone."""
    return pd.DataFrame(columns=SHEET_COLUMNS, dtype=object)


def read_wells(path: str | Path, plates: pd.DataFrame | Iterable[str]) -> pd.DataFrame:
    """Read the wells of `plates` from JUMP's well table (csv, plain or gzip), in file order, all columns as text.

    `plates` is a sheet (then wells are taken by source and plate) or plate names. Wells that are written A1 or a01 are
    called A01. Raises DataError when a plate has no well, a well occurs twice, has no compound or is no well name.
    """
    path = Path(path)
    table = _read_text_table(path, [SOURCE, PLATE, WELL, COMPOUND])
    if isinstance(plates, pd.DataFrame):
        names = list(plates[PLATE])
        source = plates.set_index(PLATE)[SOURCE]
        wells = table[table[PLATE].isin(names)]
        wells = wells[wells[PLATE].map(source) == wells[SOURCE]]
    else:
        names = [str(name) for name in plates]
        wells = table[table[PLATE].isin(names)]
    wells = wells.reset_index(drop=True)
    absent = sorted(set(names) - set(wells[PLATE]))
    if absent:
        named = f"plate{'s' if len(absent) > 1 else ''} {some(absent, 5)}"
        raise DataError(
            f"{path}: no wells of {named}; correct plate and source in the sheet or use the full well table"
        )
    wells = wells.assign(**{WELL: [well_name(well) or well for well in wells[WELL]]})
    double = wells[wells.duplicated(WELL_KEYS)]
    if len(double):
        raise DataError(f"{path}: {_some_wells(double)} occurs twice; keep one row a well")
    bad = wells[~wells[WELL].str.fullmatch(WELL_PATTERN)]
    if len(bad):
        raise DataError(f"{path}: {_some_wells(bad)} is no well name such as A01; rename the wells")
    empty = wells[wells[COMPOUND] == ""]
    if len(empty):
        raise DataError(f"{path}: {_some_wells(empty)} has no {COMPOUND}; give a compound id or remove the row")
    return wells


def read_structures(path: str | Path) -> dict[str, str]:
    """Compound id to structure, from JUMP's compound table (csv, plain or gzip); compounds without one are left out.

    The structure is the first block of the InChIKey, which stands for atoms and bonds: stereoisomers and forms that
    differ in isotopes or protons share it.
    """
    table = _read_text_table(Path(path), [COMPOUND, INCHIKEY])
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
    return _read_text_table(Path(path), [SOURCE, BATCH, PLATE, PLATE_TYPE])


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


def _check_sheet_row(where: str, header: list[str], cells: list[str]) -> None:
    if len(cells) != len(header):
        raise ConfigError(f"{where}: {len(cells)} fields for {len(header)} columns; separate the fields as the header")
    row = dict(zip(header, cells, strict=True))
    blank = [name for name in SHEET_COLUMNS if not row[name]]
    if blank:
        raise ConfigError(f"{where}: {', '.join(blank)} is blank; fill it in")
    if not _PLATE_NAME.fullmatch(row[PLATE]):
        raise ConfigError(f"{where}: plate {row[PLATE]!r} may have only letters, digits, dot, dash and underscore")
    if row["role"] not in ROLES:
        raise ConfigError(f"{where}: plate {row[PLATE]} has unknown role {row['role']!r}; use {', '.join(ROLES)}")


def _numbered_lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such sheet of plates; correct its path in the config") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the sheet ({error}); save it as tab-separated UTF-8 text") from error
    numbered = enumerate(text.splitlines(), start=1)
    return [(number, line) for number, line in numbered if line.strip() and not line.startswith("#")]


def _split(lines: list[tuple[int, str]], delimiter: str) -> list[tuple[int, list[str]]]:
    return [(number, next(csv.reader([line], delimiter=delimiter))) for number, line in lines]


def _read_text_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Every column of a csv as text; blank cells are the empty text, never NaN."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such table; run the metadata step or correct the path") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:  # all of pandas' parser errors are ValueErrors
        raise DataError(f"{path}: not a readable csv table ({error}); delete it and fetch it again") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; use JUMP's table, or one of your own that is separated by commas "
            f"and has the columns {', '.join(columns)}; this one has {', '.join(map(str, table.columns[:8]))}"
        )
    return table


def _some_wells(rows: pd.DataFrame) -> str:
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"plate {rows.iloc[0][PLATE]}, well {rows.iloc[0][WELL]!r}{more}"
