"""JUMP metadata: fetching the published tables, reading the sheet of plates, reading wells."""

import csv
import hashlib
import http.client
import logging
import re
import shutil
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import pandas as pd

from campfire.errors import ConfigError, DataError
from campfire.files import atomic_path
from campfire.keys import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, WELL, WELL_KEYS

log = logging.getLogger(__name__)

ROLES = ("id", "ood", "train")
"""id: in-distribution evaluation plate; ood: evaluation plate held out of training; train: training only."""

PLATE_TYPES = ("TARGET2", "TARGET1", "COMPOUND", "COMPOUND_EMPTY", "DMSO", "POSCON8", "BORTEZOMIB", "ORF", "CRISPR")
"""Values of Metadata_PlateType in JUMP's plate table."""

SHEET_COLUMNS = [SOURCE, BATCH, PLATE, PLATE_TYPE, "role"]

NEGATIVE_CONTROL = "JCP2022_033924"
POSITIVE_CONTROLS = {
    "JCP2022_085227": "aloxistatin",
    "JCP2022_037716": "AMG900",
    "JCP2022_025848": "dexamethasone",
    "JCP2022_046054": "FK-866",
    "JCP2022_035095": "LY2109761",
    "JCP2022_064022": "NVS-PAK1-1",
    "JCP2022_050797": "quinidine",
    "JCP2022_012818": "TC-S-7004",
}
CONTROLS = (NEGATIVE_CONTROL, *POSITIVE_CONTROLS)
"""DMSO and the 8 positive controls of JUMP's compound plates (JUMP perturbation_control.csv; paper section 2.1)."""

UNTREATED = "JCP2022_999999"
"""JUMP's code of a well without any compound or DMSO (perturbation_control.csv, type "empty")."""

PAPER_OOD_PLATES = ("JCPQC034", "JCPQC051", "JCPQC052", "JCPQC053", "JCPQC054")
"""The TARGET2 plates that the release holds out of training."""

_PLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WELL_NAME = re.compile(r"[A-Z]{1,2}[0-9]{2}")
_ATTEMPTS = 4
_TIMEOUT_S = 60
_CHUNK = 1 << 20


def fetch(address: str | Path, destination: str | Path, sha256: str | None = None) -> Path:
    """Copy a table from an https or http address, a file:// address or a local path to `destination`.

    The copy is verified (`sha256` when given, the announced length, a gzip header for *.gz) before it is renamed
    into place; a `destination` that already has the wanted SHA-256 is kept. Transient network failures are retried.
    Raises DataError naming the address and what to do; then `destination` is as it was.
    """
    address, final = str(address), Path(destination)
    wanted = sha256.strip().lower() if sha256 else None
    if wanted and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigError(f"{address}: sha256 {sha256!r} is not 64 hexadecimal digits; correct it in the config")
    if wanted and final.is_file() and _sha256(final) == wanted:
        return final
    scheme = urlsplit(address).scheme.lower()
    with atomic_path(final) as partial:
        if scheme in ("https", "http"):
            _download(address, partial)
        elif scheme in ("", "file"):
            _copy(Path(unquote(urlsplit(address).path)) if scheme == "file" else Path(address), address, partial)
        else:
            raise ConfigError(f"{address}: cannot fetch {scheme}:// addresses; use https://, file:// or a path")
        got = _sha256(partial)
        if wanted and got != wanted:
            raise DataError(
                f"{address}: SHA-256 is {got}, not {wanted}; the file was altered or the source published a new "
                "version: fetch the right version, or after review put the new sum in the config"
            )
        if final.suffix == ".gz":
            with open(partial, "rb") as handle:
                if handle.read(2) != b"\x1f\x8b":
                    raise DataError(
                        f"{address}: not a gzip file (an error page or a pointer file?); "
                        "open the address in a browser and correct it in the config"
                    )
    log.info("fetched %s to %s (sha256 %s)", address, final, got)
    return final


def read_sheet(path: str | Path, plate_types: Iterable[str] | None = PLATE_TYPES) -> pd.DataFrame:
    """Read the sheet of plates: tab-separated text (comma for *.csv), one row a plate, in the file's order.

    Columns Metadata_Source, Metadata_Batch, Metadata_Plate, Metadata_PlateType and role (id, ood, train), all text;
    further columns are kept. Lines that start with # and blank lines are skipped. `plate_types` None accepts any
    type. Raises ConfigError naming file and line.
    """
    path = Path(path)
    types = None if plate_types is None else tuple(plate_types)
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
        _check_sheet_row(f"{path}, line {number}", header, cells, types)
        plate = cells[header.index(PLATE)]
        if plate in first_line:
            raise ConfigError(
                f"{path}, line {number}: plate {plate} is already on line {first_line[plate]}; remove one of the two"
            )
        first_line[plate] = number
    return pd.DataFrame([cells for _, cells in rows[1:]], columns=header, dtype=object)


def read_wells(path: str | Path, plates: pd.DataFrame | Iterable[str]) -> pd.DataFrame:
    """Read the wells of `plates` from JUMP's well table (csv, plain or gzip), in file order, all columns as text.

    `plates` is a sheet (then wells are taken by source and plate) or plate names. Raises DataError when a plate has
    no well, a well occurs twice, has no compound or is not named like A01.
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
        raise DataError(
            f"{path}: no wells of {_some(absent)}; correct plate and source in the sheet or use the full well table"
        )
    double = wells[wells.duplicated(WELL_KEYS)]
    if len(double):
        raise DataError(f"{path}: {_some_wells(double)} occurs twice; keep one row a well")
    bad = wells[~wells[WELL].str.fullmatch(_WELL_NAME.pattern)]
    if len(bad):
        raise DataError(f"{path}: {_some_wells(bad)} is not named like A01; rename the wells")
    empty = wells[wells[COMPOUND] == ""]
    if len(empty):
        raise DataError(f"{path}: {_some_wells(empty)} has no {COMPOUND}; give a compound id or remove the row")
    return wells


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


def _check_sheet_row(where: str, header: list[str], cells: list[str], types: tuple[str, ...] | None) -> None:
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
    if types is not None and row[PLATE_TYPE] not in types:
        raise ConfigError(
            f"{where}: plate {row[PLATE]} has unknown type {row[PLATE_TYPE]!r}; use one of {', '.join(types)}"
        )


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
        raise DataError(f"{path}: no column {', '.join(missing)}; use the table as JUMP publishes it")
    return table


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"plate{'s' if len(names) > 1 else ''} {', '.join(names[:limit])}{more}"


def _some_wells(rows: pd.DataFrame) -> str:
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    return f"plate {rows.iloc[0][PLATE]}, well {rows.iloc[0][WELL]!r}{more}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _copy(source: Path, address: str, partial: Path) -> None:
    try:
        shutil.copyfile(source, partial)
    except (OSError, shutil.SameFileError) as error:
        raise DataError(f"{address}: cannot read this file ({error}); correct the address in the config") from error


def _download(address: str, partial: Path) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response, open(partial, "wb") as out:
                _stream(response, out, address, response.headers.get("Content-Length"))
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise DataError(
                    f"{address}: the server answers {error.code} {error.reason}; correct the address in the config"
                ) from error
            problem = f"the server answers {error.code} {error.reason}"
        except urllib.error.URLError as error:
            problem = f"cannot be reached ({error.reason})"
        except (OSError, http.client.HTTPException) as error:
            problem = f"the transfer broke off ({error})"
        if attempt < _ATTEMPTS:
            log.warning("%s: %s; trying again (%d of %d)", address, problem, attempt + 1, _ATTEMPTS)
            time.sleep(2 ** (attempt - 1))
    raise DataError(
        f"{address}: {problem}; check the network and proxy, or put a copy of the file on this machine and give its "
        "path as the address"
    )


def _stream(response: BinaryIO, out: BinaryIO, address: str, length: str | None) -> None:
    """Copy a response in chunks; a body shorter than announced is an error that the caller retries."""
    done, told = 0, time.monotonic()
    while chunk := response.read(_CHUNK):
        out.write(chunk)
        done += len(chunk)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            log.info("%s: %.1f MB of %s", address, done / 1e6, f"{int(length) / 1e6:.1f} MB" if length else "?")
    if length is not None and done != int(length):
        raise http.client.IncompleteRead(b"", int(length) - done)
