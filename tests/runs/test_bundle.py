"""Bundles: the same bytes for the same files, verified and harmless when unpacked."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from campfire.core.errors import DataError
from campfire.runs.bundle import CONFIG, MANIFEST, READER_CONFIG, UPSTREAM, check, pack, unpack

FILES = {"split/wells.parquet": b"wells", "embeddings/a/DNA/P1.parquet": b"vectors" * 1000, "sample/cells.parquet": b""}


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, dict]:
    """A results folder and the config of its run."""
    root = tmp_path / "made/results"
    for name, body in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    sheet, wells = tmp_path / "made/plates.tsv", tmp_path / "made/screen.tsv"
    sheet.write_text("a sheet\n")
    wells.write_text("its wells\n")
    config = {
        "results": str(root), "start_from": "images", "sheet": str(sheet), "transfer": {"sheet": str(wells), "n": 1},
    }  # fmt: skip
    return root, config


def made(run: tuple[Path, dict], path: Path) -> Path:
    root, config = run
    pack(path, root, [root / name for name in reversed(FILES)], config, {"commit": "abc"})
    return path


def test_a_bundle_holds_all_and_unpacks_to_a_run_that_starts_from_embeddings(
    run: tuple[Path, dict], tmp_path: Path
) -> None:
    archive = made(run, tmp_path / "b.tar")
    assert set(check(archive)) == {*FILES, "bundle/plates.tsv", "bundle/transfer.tsv", CONFIG, UPSTREAM}
    config_file = unpack(archive, tmp_path / "here")
    assert config_file == tmp_path / "here" / READER_CONFIG
    for name, body in FILES.items():
        assert (tmp_path / "here" / name).read_bytes() == body
    config = yaml.safe_load(config_file.read_text())
    assert config["start_from"] == "embeddings"
    assert Path(config["sheet"]).read_text() == "a sheet\n"
    assert Path(config["transfer"]["sheet"]).read_text() == "its wells\n"
    assert config["transfer"]["n"] == 1
    done = subprocess.run(["sha256sum", "-c", MANIFEST], cwd=tmp_path / "here", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_same_files_give_the_same_bytes(run: tuple[Path, dict], tmp_path: Path) -> None:
    first = made(run, tmp_path / "1.tar").read_bytes()
    for name in FILES:
        (run[0] / name).touch()
        (run[0] / name).chmod(0o600)
    assert made(run, tmp_path / "2.tar").read_bytes() == first


def test_unpacking_again_leaves_equal_files_alone_and_asks_before_replacing(
    run: tuple[Path, dict], tmp_path: Path
) -> None:
    archive, here = made(run, tmp_path / "b.tar"), tmp_path / "here"
    unpack(archive, here)
    kept, changed = here / "split/wells.parquet", here / "embeddings/a/DNA/P1.parquet"
    before = kept.stat().st_mtime_ns
    changed.write_bytes(b"mine")
    with pytest.raises(DataError, match=r"P1\.parquet.*--overwrite"):
        unpack(archive, here)
    assert changed.read_bytes() == b"mine"
    unpack(archive, here, overwrite=True)
    assert changed.read_bytes() == FILES["embeddings/a/DNA/P1.parquet"]
    assert kept.stat().st_mtime_ns == before
    assert not list(here.glob(".bundle-*"))


def test_files_outside_the_results_and_absent_ones_are_not_packed(run: tuple[Path, dict], tmp_path: Path) -> None:
    root, config = run
    with pytest.raises(DataError, match="not below the results root"):
        pack(tmp_path / "b.tar", root, [tmp_path / "made/plates.tsv"], config, {})
    with pytest.raises(DataError, match="no such file"):
        pack(tmp_path / "b.tar", root, [root / "split/other.parquet"], config, {})
    assert not (tmp_path / "b.tar").exists()


def altered(source: Path, target: Path, change: Callable[[tarfile.TarInfo, bytes], list]) -> Path:
    """A copy of a bundle with `change` applied to each member."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for entry in old:
            handle = old.extractfile(entry)
            assert handle is not None
            for member, body in change(entry, handle.read()):
                member.size = len(body)
                new.addfile(member, io.BytesIO(body))
    return target


def special(kind: bytes) -> Callable[[tarfile.TarInfo, bytes], list]:
    """The split table as a link to a file outside."""

    def change(entry: tarfile.TarInfo, body: bytes) -> list:
        if entry.name == "split/wells.parquet":
            entry.type, entry.linkname, body = kind, "/etc/passwd", b""
        return [(entry, body)]

    return change


def renamed(name: str) -> Callable[[tarfile.TarInfo, bytes], list]:
    """The split table under another name, in the manifest as well."""

    def change(entry: tarfile.TarInfo, body: bytes) -> list:
        if entry.name == MANIFEST:
            body = body.replace(b"  split/wells.parquet", f"  {name}".encode())
        if entry.name == "split/wells.parquet":
            entry.name = name
        return [(entry, body)]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed("../outside"), "not a plain file below"),
        (renamed("/tmp/outside"), "not a plain file below"),
        (renamed("split/../../outside"), "not a plain file below"),
        (special(tarfile.SYMTYPE), "not a plain file below"),
        (special(tarfile.LNKTYPE), "not a plain file below"),
        (lambda entry, body: [(entry, body.replace(b"wells", b"swell"))], "differs from its checksum|not in its"),
        (lambda entry, body: [(entry, b"")] if entry.name == MANIFEST else [(entry, body)], "not a list of SHA-256"),
        (lambda entry, body: [] if entry.name == MANIFEST else [(entry, body)], "not a bundle"),
        (lambda entry, body: [] if entry.name == "split/wells.parquet" else [(entry, body)], "lacks split/wells"),
        (lambda entry, body: [(entry, body)] * (1 + entry.name.startswith("split")), "occurs twice"),
    ],
)
def test_a_bundle_that_was_tampered_with_writes_nothing(
    run: tuple[Path, dict], tmp_path: Path, change: Any, words: str
) -> None:
    bad = altered(made(run, tmp_path / "b.tar"), tmp_path / "bad.tar", change)
    with pytest.raises(DataError, match=words):
        unpack(bad, tmp_path / "deep/here")
    assert not list((tmp_path / "deep/here").iterdir())
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["here"]


def test_truncated_and_foreign_files_are_refused(run: tuple[Path, dict], tmp_path: Path) -> None:
    archive = made(run, tmp_path / "b.tar")
    (tmp_path / "cut.tar").write_bytes(archive.read_bytes()[:3000])
    (tmp_path / "text.tar").write_text("no archive")
    for name in ("cut.tar", "text.tar", "absent.tar"):
        with pytest.raises(DataError, match=name):
            check(tmp_path / name)


def test_the_shell_prints_what_to_do_next(run: tuple[Path, dict], tmp_path: Path) -> None:
    archive = made(run, tmp_path / "b.tar")
    command = [sys.executable, "-m", "campfire.runs.bundle"]
    done = subprocess.run([*command, "unpack", str(archive)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "say where to put it with --to" in done.stderr
    done = subprocess.run([*command, "unpack", str(archive), "--to", "r"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0
    assert f"--configfile r/{READER_CONFIG}" in done.stdout
