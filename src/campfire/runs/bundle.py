"""One archive with everything behind the tables and figures, for readers without images, GPU or network.

    campfire bundle check results/bundle.tar
    campfire bundle unpack bundle.tar --to results/theirs
    campfire bundle check results/theirs

The archive is a plain tar (its tables are compressed already) with paths below the results root, sorted, without times
or owners: the same files give the same bytes. `bundle/manifest.sha256` comes first, in the format of `sha256sum`.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml

from campfire.core.digests import file_sha256
from campfire.core.errors import DataError, in_one_line
from campfire.core.files import atomic_path, write_text

FOLDER = "bundle"
MANIFEST = f"{FOLDER}/manifest.sha256"
CONFIG = f"{FOLDER}/config.yaml"
UPSTREAM = f"{FOLDER}/upstream.json"
READER_CONFIG = f"{FOLDER}/from_embeddings.yaml"
"""Written by `unpack`, not in the archive: the run's config, changed to start from the unpacked files."""
SHEETS = {"sheet": f"{FOLDER}/plates.tsv", "transfer": f"{FOLDER}/transfer.tsv"}
BLOCK = 1 << 20
ARCHIVES = {"check": "the file bundle.tar, or the folder that it was unpacked to", "unpack": "the file bundle.tar"}


def pack(
    archive: str | Path,
    root: str | Path,
    files: Sequence[str | Path],
    config: Mapping[str, Any],
    upstream: Mapping[str, Any],
) -> dict[str, str]:
    """Write `files` (all below the results root), the config and its sheets, and a record of their origin.

    upstream: a value for JSON, stored as bundle/upstream.json. Returns path in the archive -> SHA-256.
    Raises DataError for a file outside `root` or one that is absent.
    """
    root = Path(root)
    members: dict[str, Path | bytes] = {_below(path, root): Path(path) for path in files}
    for section, name in SHEETS.items():
        sheet = config["transfer"]["sheet"] if section == "transfer" else config["sheet"]
        if sheet:
            members[name] = Path(sheet)
    members[CONFIG] = yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=True, allow_unicode=True).encode()
    members[UPSTREAM] = (json.dumps(upstream, indent=2, sort_keys=True) + "\n").encode()
    absent = [str(source) for source in members.values() if isinstance(source, Path) and not source.is_file()]
    if absent:
        raise DataError(f"{absent[0]}: no such file ({len(absent)} of {len(members)}); run the steps that write them")
    sums = {name: _digest(members[name]) for name in sorted(members)}
    manifest = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    with atomic_path(archive) as partial, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, manifest)
        for name in sums:
            _add(tar, name, members[name])
    return sums


def _below(path: str | Path, root: Path) -> str:
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        raise DataError(f"{path}: is not below the results root {root}; a bundle holds only results") from None


def _digest(source: Path | bytes) -> str:
    return file_sha256(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()


def _add(tar: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    """Add one member whose header has only name and size."""
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    if isinstance(source, bytes):
        entry.size = len(source)
        tar.addfile(entry, io.BytesIO(source))
        return
    with open(source, "rb") as handle:
        entry.size = os.fstat(handle.fileno()).st_size
        tar.addfile(entry, handle)


def check(archive: str | Path, into: str | Path | None = None) -> dict[str, str]:
    """Path -> SHA-256 of every file of a bundle, compared with the manifest and, with `into`, written below it.

    Raises DataError for an unreadable or cut archive, a file that differs from the manifest, is missing or is not
    listed, and for anything but plain files with plain relative names; nothing outside `into` is ever written.
    """
    found: dict[str, str] = {}
    expected: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r|*") as tar:
            for name, handle in _members(tar, archive):
                if not expected:
                    if name != MANIFEST:
                        raise DataError(f"{archive}: does not begin with {MANIFEST}; it is not a bundle")
                    text = handle.read().decode("utf-8")
                    expected = _read_manifest(text, archive)
                    if into is not None:
                        write_text(Path(into) / MANIFEST, text)
                    continue
                if name not in expected:
                    raise DataError(f"{archive}: {name} is not in its manifest; fetch the bundle again")
                if name in found:
                    raise DataError(f"{archive}: {name} occurs twice; fetch the bundle again")
                found[name] = _copy(handle, None if into is None else Path(into) / name)
                if found[name] != expected[name]:
                    raise DataError(f"{archive}: {name} differs from its checksum; fetch the bundle again")
    except FileNotFoundError as error:
        raise DataError(f"{archive}: no such bundle") from error
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{archive}: not a readable bundle ({error}); fetch it again") from error
    missing = sorted(set(expected) - set(found))
    if missing or not expected:
        raise DataError(f"{archive}: lacks {missing[0] if missing else MANIFEST}; fetch the bundle again")
    return found


def _members(tar: tarfile.TarFile, archive: str | Path) -> Iterator[tuple[str, IO[bytes]]]:
    for entry in tar:
        parts = entry.name.split("/")
        plain = entry.isreg() and not re.search(r"[\x00-\x1f\\]", entry.name)
        if not plain or PurePosixPath(entry.name).is_absolute() or any(part in ("", ".", "..") for part in parts):
            raise DataError(f"{archive}: {entry.name!r} is not a plain file below the results root; do not unpack it")
        handle = tar.extractfile(entry)
        assert handle is not None
        yield entry.name, handle


def _read_manifest(text: str, archive: str | Path) -> dict[str, str]:
    lines = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in text.splitlines()]
    if not lines or not all(lines):
        raise DataError(f"{archive}: {MANIFEST} is not a list of SHA-256 sums; fetch the bundle again")
    return {match[2]: match[1] for match in lines if match}


def _copy(handle: IO[bytes], path: Path | None) -> str:
    """SHA-256 of a stream, which is also written to `path`."""
    total = hashlib.sha256()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with open(path if path is not None else os.devnull, "wb") as out:
        while block := handle.read(BLOCK):
            total.update(block)
            out.write(block)
    return total.hexdigest()


def read_manifest(root: str | Path) -> dict[str, str]:
    """Path -> SHA-256 of the files of the bundle that was unpacked below `root`; DataError where there is none."""
    try:
        text = (Path(root) / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{root}: has no {MANIFEST}; name a bundle, or the folder that one was unpacked to") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{root}/{MANIFEST}: not readable ({error}); unpack the bundle again") from error
    return _read_manifest(text, root)


def check_unpacked(root: str | Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of an unpacked bundle; DataError for files that are gone or have other bytes."""
    expected = read_manifest(root)
    wrong = [name for name, digest in expected.items() if not _same(Path(root) / name, digest)]
    if wrong:
        state = "was altered" if (Path(root) / wrong[0]).is_file() else "is gone"
        others = f" ({len(wrong)} such files)" if len(wrong) > 1 else ""
        raise DataError(
            f"{Path(root) / wrong[0]}: {state} since the bundle was unpacked{others}; unpack the bundle again with "
            "--overwrite"
        )
    return expected


def unpack(archive: str | Path, root: str | Path | None = None, overwrite: bool = False) -> Path:
    """Verify a bundle and put its files below `root` (default: the run's results root); return the config to use.

    Files are placed only after all of them are verified. Existing files with the same bytes keep their time, so that
    results derived from them stay current; existing files that differ are an error unless `overwrite`.
    """
    where = Path(".") if root is None else Path(root)
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=where) as folder:
        inside = Path(folder)
        sums = check(archive, inside)
        config = yaml.safe_load((inside / CONFIG).read_text(encoding="utf-8"))
        final = Path(config["results"]) if root is None else Path(root)
        if root is None and (final.is_absolute() or ".." in final.parts):
            raise DataError(f"{archive}: was made below {final}; say where to put it with --to, e.g. --to results")
        same = {name for name, digest in sums.items() if _same(final / name, digest)}
        other = [name for name in sums if name not in same and (final / name).exists()]
        if other and not overwrite:
            raise DataError(
                f"{final / other[0]}: exists and differs from the bundle's ({len(other)} such files); unpack it "
                "elsewhere with --to, or replace them with --overwrite"
            )
        for name in [*sums, MANIFEST]:
            if name not in same:
                (final / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(inside / name, final / name)
    changed = reader_config(config, final)
    path = final / READER_CONFIG
    write_text(path, yaml.safe_dump(changed, sort_keys=True, allow_unicode=True))
    return path


def _same(path: Path, digest: str) -> bool:
    return path.is_file() and file_sha256(path) == digest


def reader_config(config: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """The run's config for a reader: it starts from embeddings and finds the sheets beside them."""
    changed = {**config, "results": str(root), "start_from": "embeddings"}
    if config["sheet"]:
        changed["sheet"] = str(root / SHEETS["sheet"])
    if config["transfer"]["sheet"]:
        changed["transfer"] = {**config["transfer"], "sheet": str(root / SHEETS["transfer"])}
    return changed


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Check or unpack a bundle from the shell; an error is reported in one line."""
    parser = argparse.ArgumentParser(prog="campfire bundle", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in (("check", "compare every file with the manifest"), ("unpack", "check, then put in place")):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("archive", type=Path, help=ARCHIVES[name])
    commands.choices["unpack"].add_argument("--to", type=Path, help="results root (default: the one of the run)")
    commands.choices["unpack"].add_argument("--overwrite", action="store_true", help="replace files that differ")
    options = parser.parse_args(arguments)
    if options.command == "check":
        compare = check_unpacked if options.archive.is_dir() else check
        print(f"{options.archive}: {len(compare(options.archive))} files as in the manifest")
    else:
        path = unpack(options.archive, options.to, options.overwrite)
        print(f"verified and unpacked; now: .venv/bin/campfire run --configfile {path} -- all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
