"""A results folder that is full, read-only or altered afterwards. Table in docs/reliability.md."""

import gzip
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from campfire.core.digests import file_sha256
from campfire.core.files import read_table, write_json, write_table
from campfire.runs.verify import find_damage, main
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen
from support.warm_snakemake import snakemake

Run = Callable[..., subprocess.CompletedProcess[str]]
SCREEN = ScreenOptions(
    id_plates=2, ood_plates=1, compound_plates=0, transfer_plates=0, positive_controls=1, compounds=3, dmso_wells=1,
    sites=1, field=136, cells=1, corrupt=0, illumination=False, workers=1,
)  # fmt: skip
WELLS, TABLE = "results/split/wells.parquet", "results/tables/quadrants.csv"


def record(results: Path, files: list[Path]) -> None:
    facts = {"files": {str(p): file_sha256(p) for p in files}, "modified": {str(p): p.stat().st_mtime for p in files}}
    write_json(results / "provenance.json", facts)


def flip(path: Path, place: float = 0.4) -> None:
    """Flip one bit, as a failing disk does: same length, same time."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    os.utime(path, (times.st_atime, times.st_mtime))


def write_arrays(path: Path) -> None:
    path.parent.mkdir(parents=True)
    np.savez(path, target=np.random.default_rng(0).normal(size=3000))


def write_csv(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(np.random.default_rng(0).bytes(20_000)))


def write_parquet(path: Path) -> None:
    write_table(pd.DataFrame({"x": np.random.default_rng(0).normal(size=3000)}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("embeddings/a/b/plate.parquet", write_parquet),
        ("ablation/loss/ranking.parquet", write_parquet),
        ("pretrain/campfire/snapshots.npz", write_arrays),
        ("metadata/well.csv.gz", write_csv),
    ],
)
def test_one_flipped_bit_is_found_anywhere_in_a_file(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    path = tmp_path / name
    write(path)
    record(tmp_path, [])
    assert find_damage(tmp_path) == []
    whole = path.read_bytes()
    for place in np.linspace(0.03, 0.9, 12):
        path.write_bytes(whole)
        flip(path, place)
        (damage,) = find_damage(tmp_path)
        assert damage.files == (path,) and "run its step again" in damage.what


def test_lost_and_altered_files_are_named_and_put_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost, altered, kept = (tmp_path / f"tables/{name}.csv" for name in ("lost", "altered", "kept"))
    for path in (lost, altered, kept):
        path.parent.mkdir(exist_ok=True)
        path.write_text("a,b\n1,2\n")
    assert main([str(tmp_path)]) == 1 and "no such record" in capsys.readouterr().err
    record(tmp_path, [lost, altered, kept])
    assert main([str(tmp_path)]) == 0
    lost.unlink()
    flip(altered)
    assert main([str(tmp_path), "--remove"]) == 1
    said = capsys.readouterr().out
    assert f"{lost}: is gone" in said and f"{altered}: has other bytes" in said and str(kept) not in said
    assert not altered.exists() and altered.with_name("altered.csv.damaged").exists() and kept.exists()


@contextmanager
def disk(place: Path, size: str) -> Iterator[None]:
    """A real file system of this size at `place`."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Run:
    """Run the workflow on the tables of a tiny screen; results go to tmp_path/results."""
    write_screen(tmp_path / "screen", SCREEN)
    (tmp_path / "config").symlink_to(repository / "config")
    tables = {
        name: {"address": f"screen/metadata/{name}.csv.gz", "sha256": None} for name in ("plate", "well", "compound")
    }
    controls = ["JCP2022_033924", "JCP2022_900001"]
    split = {"held_out": 0, "wells_train": 1, "wells_val": 0, "wells_test": 1, "controls": controls}
    changes = {"sheet": "screen/plates.tsv", "metadata": tables, "split": split}
    (tmp_path / "changes.yaml").write_text(yaml.safe_dump(changes))

    def start(*targets: str) -> subprocess.CompletedProcess[str]:
        command = ["--snakefile", repository / "Snakefile", "--nocolor", "--profile", repository / "profiles/local"]
        command += ["--cores", "1", "--configfile", "config/config.yaml", "changes.yaml", "--", *targets]
        return snakemake(command, tmp_path)

    return start


@pytest.mark.workflow
def test_a_full_disk_then_a_read_only_one(run: Run, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with disk(results, "8k"):
        said = run(TABLE).stderr
        assert "No space left on device; make room on that disk" in said and "Traceback" not in said, said
        assert not (tmp_path / WELLS).exists() and not list(results.rglob("*.partial*"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(results)], check=True)
        assert run(WELLS).returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
        done = run(TABLE)
        assert done.returncode != 0 and "read-only" in (done.stdout + done.stderr).lower(), done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        subprocess.run(["mount", "-o", "remount,rw", str(results)], check=True)
        assert run(TABLE).returncode == 0


@pytest.mark.workflow
def test_a_corrupted_output_is_found_named_and_remade(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(TABLE).returncode == 0
    wells, results = Path(WELLS), Path("results")
    record(results, [wells, Path(TABLE)])
    digest = file_sha256(wells)
    flip(wells)
    assert main(["results", "--remove"]) == 1
    assert f"snakemake ... -- {WELLS}" in capsys.readouterr().out
    assert run(WELLS).returncode == 0
    assert file_sha256(wells) == digest and len(read_table(wells))
    assert main(["results"]) == 0
    assert "Nothing to be done" in run(TABLE).stderr, "the same bytes must not remake what follows"
