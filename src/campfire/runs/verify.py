"""Find results that were altered or lost after they were made: campfire verify results/demo [--remove].

Recorded checksums (provenance.json: tables, figures, the page of findings, weights) are compared, tiles are checked by
their own digests, and every other parquet, npz and gzip file, which contains checksums, is read. Damaged files are
named; `--remove` puts them aside as `.damaged`, so that Snakemake makes them again. A remade file with the bytes it had
gets its old time back, so that nothing behind it is remade. A file that a later job made anew, with the bytes that
the job recorded, is no damage. `state` and raw images are not checked.
"""

import argparse
import gzip
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campfire.core.digests import file_sha256
from campfire.core.errors import DataError, in_one_line
from campfire.core.files import read_table
from campfire.images.tiles import open_plate
from campfire.runs.job_records import made


@dataclass(frozen=True)
class Damage:
    """A file that differs from the one that was made; `files` are those that are remade together."""

    files: tuple[Path, ...]
    what: str


@dataclass(frozen=True)
class Record:
    """The record in provenance.json of the files behind the results."""

    sha256: dict[str, str]
    modified: dict[str, float]


def read_record(results: Path) -> Record:
    """The record of provenance.json; DataError where there is none."""
    path = results / "provenance.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return Record(dict(facts["files"]), dict(facts.get("modified", {})))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such record; it is written at the end of a run of `all`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a readable record ({error}); delete it and run `all` again") from error


def find_damage(results: str | Path, full: bool = False) -> list[Damage]:
    """Every damaged file below `results`; `full` reads every tile instead of some of each plate.

    Recorded files with the right bytes but a later time get their recorded time back. Raises DataError without record.
    """
    results = Path(results)
    record = read_record(results)
    remade = made(results / "state" / "provenance")
    found = []
    for name, digest in sorted(record.sha256.items()):
        path = Path(name)
        if not path.is_file():
            found.append(Damage((path,), "is gone"))
        elif (now := file_sha256(path)) != digest and now != remade.get(name):
            found.append(Damage((path,), "has other bytes than provenance.json recorded"))
        elif now == digest and name in record.modified and path.stat().st_mtime > record.modified[name]:
            os.utime(path, (path.stat().st_atime, record.modified[name]))
    recorded = {Path(name).resolve() for name in record.sha256}
    for index in sorted(results.glob("tiles/*.parquet")):
        try:
            open_plate(index, "full" if full else "quick")
        except DataError as error:
            found.append(Damage((index.with_suffix(".npy"), index), str(error)))
    for suffix, read in READERS.items():
        for path in sorted(results.rglob(f"*{suffix}")):
            if path.relative_to(results).parts[0] in NOT_READ or path.resolve() in recorded:
                continue
            try:
                read(path)
            except DataError as error:
                found.append(Damage((path,), str(error)))
    return found


def _read_npz(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable npz file ({error}); run its step again") from error
    if bad:
        raise DataError(f"{path}: its array {bad} differs from its checksum; run its step again")


def _read_gzip(path: Path) -> None:
    try:
        with gzip.open(path) as content:
            while content.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); run its step again") from error


NOT_READ = ("state", "images", "tiles")
"""Folders of results whose files are unfinished, temporary, or checked elsewhere."""
READERS: dict[str, Callable[[Path], object]] = {".parquet": read_table, ".npz": _read_npz, ".gz": _read_gzip}


def put_aside(damage: Damage) -> None:
    """Rename a damage's files, so that they count as missing."""
    for path in damage.files:
        if path.exists():
            os.replace(path, path.with_name(path.name + ".damaged"))


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 1 where something is damaged."""
    parser = argparse.ArgumentParser(prog="campfire verify", description=__doc__)
    parser.add_argument("results", type=Path, help="results root of a finished run")
    parser.add_argument("--full", action="store_true", help="read every tile, not some of each plate")
    parser.add_argument("--remove", action="store_true", help="put damaged files aside, to be made again")
    options = parser.parse_args(arguments)
    found = find_damage(options.results, options.full)
    for damage in found:
        print(f"{damage.files[0]}: {damage.what.removeprefix(f'{damage.files[0]}: ')}")
        if options.remove:
            put_aside(damage)
    if not found:
        print(f"{options.results}: every file is unchanged")
        return 0
    names = " ".join(str(path) for damage in found for path in damage.files)
    first = "put aside; make" if options.remove else "put them aside with --remove, then make"
    print(f"{len(found)} damaged: {first} them again with the run's own command and these targets, then verify again:")
    print(f"snakemake ... -- {names}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
