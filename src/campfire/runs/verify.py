"""Find results that were altered or lost after they were made: campfire verify results/demo [--remove].

Every file is compared with the checksum that provenance.json, the job that made it, or the manifest of an unpacked
bundle recorded. Tiles are checked by their own digests, and every other parquet, npz and gzip file, which contains
checksums, is read. The folder may be a copy or have been moved. Damaged files are named; `--remove` puts them aside
as `.damaged`, so that Snakemake makes them again. A remade file with the bytes it had gets its old time back, so that
nothing behind it is remade. A file that a later job made anew, with the bytes that the job recorded, is no damage.
`state`, raw images, benchmarks and report.html are not checked.
"""

import argparse
import gzip
import json
import math
import os
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from campfire.core.digests import file_sha256
from campfire.core.errors import DataError, in_one_line
from campfire.core.files import read_table
from campfire.images.tiles import open_plate
from campfire.runs import bundle
from campfire.runs.job_records import made

V = TypeVar("V")


@dataclass(frozen=True)
class Damage:
    """A file that differs from the one that was made; `files` are those that are remade together."""

    files: tuple[Path, ...]
    what: str
    packed: bool = False
    """The file came with a bundle, so no job makes it again."""


@dataclass(frozen=True)
class Record:
    """What was recorded of the files of a results folder, by their path below it."""

    sha256: dict[str, str]
    """Files behind the results, from provenance.json."""
    packed: dict[str, str]
    """The content of the bundle that was unpacked there, if any, from its manifest."""
    modified: dict[str, float]
    remade: dict[str, str]
    """Every output of a job, as the last job that made it recorded it."""

    def expected(self) -> dict[str, str]:
        """File -> SHA-256 of every recorded file."""
        return {**self.remade, **self.packed, **self.sha256}


@dataclass(frozen=True)
class Findings:
    """What `inspect` found, and how many files it compared with a checksum or, having none recorded, read."""

    damage: list[Damage]
    compared: int
    read: int


def read_record(results: Path) -> Record:
    """The records of a results folder; DataError where it has neither provenance.json nor an unpacked bundle."""
    path, manifest = results / RECORD, results / bundle.MANIFEST
    facts: dict[str, Any] = {}
    try:
        if path.is_file() or not manifest.is_file():
            facts = json.loads(path.read_text(encoding="utf-8"))
        files, modified = dict(facts.get("files", {})), dict(facts.get("modified", {}))
        here = all(PurePath(name).is_relative_to(results) for name in files)
        root = facts.get("results") or (str(results) if here else os.path.commonpath(files))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such record; it is written at the end of a run of `all`") from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: not a readable record ({error}); delete it and run `all` again") from error
    remade = _below(made(results / "state" / "provenance"), root)
    remade.pop(RECORD, None)  # written again after runs of single targets
    packed = bundle.read_manifest(results) if manifest.is_file() else {}
    return Record(_below(files, root), packed, _below(modified, root), remade)


def _below(values: dict[str, V], root: str) -> dict[str, V]:
    """Values by path below the results root `root` of the run; those of other places are left out."""
    return {
        PurePath(name).relative_to(root).as_posix(): value
        for name, value in values.items()
        if PurePath(name).is_relative_to(root)
    }


def find_damage(results: str | Path, full: bool = False) -> list[Damage]:
    """Every damaged file below `results`; see `inspect`."""
    return inspect(results, full).damage


def inspect(results: str | Path, full: bool = False) -> Findings:
    """Every damaged file below `results`; `full` reads every tile instead of some of each plate.

    Recorded files with the right bytes but a later time get their recorded time back. Raises DataError without record.
    """
    results = Path(results)
    record = read_record(results)
    expected = record.expected()
    found = []
    compared = 0
    for name, digest in sorted(expected.items()):
        path, packed = results / name, name in record.packed and name not in record.remade
        if not path.is_file():
            if name in record.sha256 or packed:  # what only a job recorded may have been deleted on purpose
                found.append(Damage((path,), "is gone", packed))
            continue
        compared += 1
        if (now := file_sha256(path)) not in (digest, record.remade.get(name)):
            origin = "its bundle held" if packed else "were recorded when it was made"
            found.append(Damage((path,), f"has other bytes than {origin}", packed))
        elif now == digest and path.stat().st_mtime > record.modified.get(name, math.inf):
            os.utime(path, (path.stat().st_atime, record.modified[name]))
    recorded = {(results / name).resolve() for name in expected}
    read = 0
    for index in sorted(results.glob("tiles/*.parquet")):
        read += 1
        try:
            open_plate(index, "full" if full else "quick")
        except DataError as error:
            found.append(Damage((index.with_suffix(".npy"), index), str(error)))
    for suffix, reader in READERS.items():
        for path in sorted(results.rglob(f"*{suffix}")):
            if path.relative_to(results).parts[0] in NOT_READ or path.resolve() in recorded:
                continue
            read += 1
            try:
                reader(path)
            except DataError as error:
                found.append(Damage((path,), str(error)))
    return Findings(found, compared, read)


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


RECORD = "provenance.json"
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
    findings = inspect(options.results, options.full)
    found = findings.damage
    for damage in found:
        print(f"{damage.files[0]}: {damage.what.removeprefix(f'{damage.files[0]}: ')}")
        if options.remove:
            put_aside(damage)
    if not found:
        compared = f"{findings.compared:,} by checksum, {findings.read:,} read"
        print(f"{options.results}: every file is unchanged ({compared})")
        return 0
    print(f"{len(found)} damaged.")
    aside = "put aside; make" if options.remove else "put them aside with --remove, then make"
    if any(damage.packed for damage in found):
        print("What a bundle held: unpack the bundle again with --overwrite, then verify again.")
    if names := " ".join(str(path) for damage in found if not damage.packed for path in damage.files):
        print(f"What jobs made: {aside} them again with the run's own command and these targets, then verify again:")
        print(f"snakemake ... -- {names}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
