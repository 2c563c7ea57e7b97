"""Results follow the user's files by what they hold: sheets, weights, helpers of an encoder, images of a folder."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from campfire.runs import contents
from campfire.runs.contents import newer_images, own_modules

LONG_AGO = 1_500_000_000


def aged(path: Path, text: str, when: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (when, when))
    return path


@pytest.mark.parametrize("age", [LONG_AGO - 5000, LONG_AGO, LONG_AGO + 5000], ids=["older", "as old", "newer"])
@pytest.mark.parametrize("text", ["one\ntwo\n", "one\ntwo \n", "one\n"], ids=["same", "same length but one", "shorter"])
def test_a_file_counts_by_its_content_whatever_its_time(age: float, text: str, tmp_path: Path) -> None:
    path = aged(tmp_path / "plates.tsv", "one\ntwo\n", LONG_AGO)
    before = contents.contents([path])
    os.replace(aged(tmp_path / "new.tsv", text, age), path)
    assert (contents.contents([path]) == before) == (text == "one\ntwo\n")


def test_large_files_count_by_size_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "WHOLE", 100)
    monkeypatch.setattr(contents, "ENDS", 10)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"a" * 500)
    before = contents.contents([path])
    for body in (b"b" + b"a" * 499, b"a" * 499 + b"b", b"a" * 501):
        path.write_bytes(body)
        assert contents.contents([path]) != before
    assert contents.contents([None, "", tmp_path / "nowhere"]) == []


def test_links_count_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(aged(tmp_path / "one", "1", LONG_AGO))
    before = contents.contents([tmp_path / "link"])
    aged(tmp_path / "one", "2", LONG_AGO - 100)
    assert contents.contents([tmp_path / "link"]) != before


MODULES = {
    "mine.py": "import numpy\nimport helper\nfrom lab import net\nfrom lab.deep.more import thing\n",
    "helper.py": "def f():\n    from late import g\n    return g\n",
    "late.py": "import mine\n",
    "lab/__init__.py": "from .shared import scale\n",
    "lab/net.py": "from . import layers\nfrom .deep import more as m\nfrom ..elsewhere import x\n",
    "lab/layers.py": "import torch\n",
    "lab/shared.py": "import yaml as y, json\n",
    "lab/deep/more.py": "thing = 1\n",
    "unused.py": "import lab\n",
    "broken.py": "def (:\n",
    "uses_broken.py": "import broken\n",
}


def test_the_modules_of_an_encoder_are_those_that_it_imports(tmp_path: Path) -> None:
    for name, text in MODULES.items():
        aged(tmp_path / name, text, LONG_AGO)
    found = [path.as_posix() for path in own_modules(Path("mine.py"), tmp_path)]
    assert found == sorted(set(MODULES) - {"unused.py", "broken.py", "uses_broken.py"})
    assert [p.as_posix() for p in own_modules(Path("uses_broken.py"), tmp_path)] == ["broken.py", "uses_broken.py"]
    assert own_modules(Path("nowhere.py"), tmp_path) == []


def replace(folder: Path) -> None:
    os.replace(aged(folder / "new", "other", LONG_AGO + 200), folder / "A01_1_DNA.tiff")


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "nothing": (lambda folder: None, False),
    "an image is written anew": (lambda folder: (folder / "A01_1_DNA.tiff").write_text("other"), True),
    "an image is replaced": (replace, True),
    "an image is added": (lambda folder: (folder / "A02_1_DNA.tiff").write_text("more"), True),
    "an image is removed": (lambda folder: (folder / "A01_1_AGP.tiff").unlink(), True),
    "a linked raw image is written anew": (lambda folder: (folder.parent / "raw.tiff").write_text("other"), True),
    "the folder is gone": (lambda folder: os.replace(folder, folder.with_name("gone")), False),
}


@pytest.mark.parametrize(("change", "told"), list(CHANGES.values()), ids=list(CHANGES))
def test_images_that_changed_after_they_were_read(change: Callable[[Path], object], told: bool, tmp_path: Path) -> None:
    folder = tmp_path / "P1"
    for channel in ("DNA", "AGP"):
        aged(folder / f"A01_1_{channel}.tiff", "pixels", LONG_AGO)
    (folder / "B01_1_DNA.tiff").symlink_to(aged(tmp_path / "raw.tiff", "pixels", LONG_AGO))
    os.utime(folder, (LONG_AGO, LONG_AGO))
    record = aged(tmp_path / "download/P1.parquet", "", LONG_AGO + 100)
    change(folder)
    assert bool(newer_images(folder, record)) == told
    assert newer_images(folder, tmp_path / "no record yet") == ""
