"""The digest that decides what an edit of the code reruns."""

import subprocess
import sys
from pathlib import Path

import pytest

from campfire.core.errors import ConfigError
from campfire.report import catalogue
from campfire.runs import definitions
from campfire.runs import fingerprint as reach

INNER = """
import numpy as np

SIDE = 2


def area(x):
    return np.square(x) * SIDE


def size(x):
    return len(x)
"""
A = """
import campfire
from campfire.shared import UNIT


def use(x: int) -> int:
    from campfire import room

    return room.area(x) + UNIT


def unused():
    import torch

    return torch, campfire.__version__
"""
TOLD = """
import logging

from campfire.core.files import write
from campfire.shared import UNIT

log = logging.getLogger(__name__)


def tell(x):
    if x > UNIT:
        raise ValueError(f"{x} is too much")
    log.info("told %s", x)
    return write(x)
"""
FILES = {
    "campfire/__init__.py": '__version__ = "1"\n',
    "campfire/room/__init__.py": "from campfire.room.inner import area, size\n",
    "campfire/room/inner.py": INNER,
    "campfire/shared.py": "UNIT = 1\nOTHER = 2\n",
    "campfire/a.py": A,
    "campfire/runs/__init__.py": 'def launch():\n    return ["python", "-m", "campfire.runs"]\n',
    "campfire/runs/__main__.py": "from campfire.runs.work import work\n\nif __name__ == '__main__':\n    work()\n",
    "campfire/runs/work.py": "def work():\n    import timm\n\n    return timm\n",
    "campfire/core/__init__.py": "",
    "campfire/core/files.py": "def write(x):\n    return x\n",
    "campfire/told.py": TOLD,
    "story.py": "from campfire.told import tell\n\ntell(1)\n",
    "script.py": '"""Story."""\nfrom campfire.a import use\n\nuse(1)\n',
    "runs.py": "from campfire.runs import launch\n\nlaunch()\n",
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package with the shape of ours."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(definitions, "PACKAGE", tmp_path / "campfire")
    reach.forget()
    yield tmp_path
    reach.forget()


def digest(library: Path, script: str = "script.py") -> str:
    reach.forget()
    return reach.code_digest(library / script)


def test_follows_names_through_the_package(library: Path) -> None:
    names = {path.relative_to(library).as_posix() for path in reach.reach(library / "script.py").files}
    assert names == {
        *("script.py", "campfire/a.py", "campfire/shared.py"),
        *("campfire/room/__init__.py", "campfire/room/inner.py"),
    }
    assert reach.libraries(library / "script.py") == ["numpy"]
    # A module that is started by its name counts, with what it runs.
    assert reach.libraries(library / "runs.py") == ["timm"]


EDITS = [
    ("script.py", "use(1)", "use(2)", True),
    ("script.py", '"""Story."""', '"""Another."""\n# a comment', False),
    ("script.py", "use(1)", "use( 1 )", False),
    ("campfire/room/inner.py", "SIDE = 2", "SIDE = 3", True),
    ("campfire/room/inner.py", "np.square(x)", "np.sqrt(x)", True),
    ("campfire/room/inner.py", "import numpy as np", "import cupy as np", True),
    ("campfire/room/inner.py", "return len(x)", "return len(x) + 1", False),
    ("campfire/shared.py", "UNIT = 1", "UNIT = 2", True),
    ("campfire/shared.py", "OTHER = 2", "OTHER = 3", False),
    ("campfire/shared.py", "OTHER = 2", "OTHER = 2\nprint(OTHER)", True),
    ("campfire/a.py", "(x: int) -> int", "(x: float)", False),
    ("campfire/a.py", "(x: int)", "(x: int = 1)", True),
    ("campfire/a.py", "return torch", "return None", False),
    ("campfire/a.py", "    from campfire import room\n", '    """Words."""\n    from campfire import room\n', False),
    ("campfire/__init__.py", '"1"', '"2"', False),
]


@pytest.mark.parametrize(("file", "old", "new", "changes"), EDITS)
def test_counts_what_can_run(library: Path, file: str, old: str, new: str, changes: bool) -> None:
    before, text = digest(library), (library / file).read_text()
    assert old in text
    (library / file).write_text(text.replace(old, new))
    assert (digest(library) != before) is changes


TOLD_EDITS = [
    ("campfire/core/files.py", "return x", "return str(x)", False),
    ("campfire/told.py", '"told %s", x', '"said %s to %s", x, UNIT', False),
    ("campfire/told.py", '    log.info("told %s", x)\n', "", False),
    ("campfire/told.py", "is too much", "is more than is allowed", False),
    ("campfire/told.py", "ValueError", "TypeError", True),
    ("campfire/told.py", "x > UNIT", "x >= UNIT", True),
    ("campfire/told.py", "write(x)", "write(x, 1)", True),
    ("campfire/told.py", "log.info(", "print(", True),
]


@pytest.mark.parametrize(("file", "old", "new", "changes"), TOLD_EDITS)
def test_what_only_writes_or_speaks_does_not_count(library: Path, file: str, old: str, new: str, changes: bool) -> None:
    before, text = digest(library, "story.py"), (library / file).read_text()
    assert old in text
    (library / file).write_text(text.replace(old, new))
    assert (digest(library, "story.py") != before) is changes


def test_carriers_are_modules_of_the_package() -> None:
    assert [name for name in reach.CARRIER_MODULES if definitions.module_file(name) is None] == []


def test_moving_a_function_counts_for_nothing(library: Path) -> None:
    before = digest(library)
    moved = library / "campfire/room/moved.py"
    moved.write_text((library / "campfire/room/inner.py").read_text())
    (library / "campfire/room/__init__.py").write_text("from campfire.room.moved import area, size\n")
    assert digest(library) == before


def test_a_lazily_named_module_counts_whole(library: Path) -> None:
    before = digest(library, "runs.py")
    work = library / "campfire/runs/work.py"
    work.write_text(work.read_text().replace("return timm", "return timm.models"))
    assert digest(library, "runs.py") != before


def test_versions_count_to_the_minor_number(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "version", {"numpy": "2.1.3+local"}.__getitem__)
    assert reach.library_versions(library / "script.py") == {"numpy": "2.1"}


def test_real_scripts_reach_what_they_run_and_no_more(repository: Path) -> None:
    reach.forget()
    scripts = repository / "workflow" / "scripts"
    names = {path.name for path in reach.reach(scripts / "split.py").files}
    assert "assign.py" in names and not names & {"zprime.py", "objective.py", "render.py"}
    trained = {path.name for path in reach.reach(scripts / "pretrain.py").files}
    assert {"trainer.py", "engine.py", "autoencoder.py", "loader.py"} <= trained, "reached by `-m campfire.training`"
    for entry in catalogue.FIGURES:
        libraries = reach.libraries(scripts / "figure.py", entry.function)
        assert "torch" not in libraries and "matplotlib" in libraries, entry.name
    gaps = reach.reach("campfire.report.tables.gaps:make").files
    assert "claims.py" not in {path.name for path in gaps}, "another table's code counts for that table alone"


TRACE = """
import json, runpy, sys
from pathlib import Path
from types import SimpleNamespace
seen = set()
def note(frame, event, _):
    if event == "call" and "/campfire/" in frame.f_code.co_filename:
        seen.add((frame.f_code.co_filename, frame.f_code.co_name))
import pandas as pd
from campfire.report.tables import quadrants
from campfire.report.tables.render import save
sys.setprofile(note)
wells = pd.DataFrame({"Metadata_Plate": ["P", "P"], "Metadata_Well": ["A01", "A02"], "Metadata_PlateType": "T",
                      "Metadata_JCP2022": ["C", "D"], "split": ["train", "test"]})
save(quadrants.build(wells, "release"), sys.argv[1] + "/quadrants")
sys.setprofile(None)
print(json.dumps(sorted(seen)))
"""


def test_everything_that_ran_was_reached(repository: Path, tmp_path: Path) -> None:
    """What Python really calls when a table is made is within what the syntax says."""
    import ast
    import json

    done = subprocess.run([sys.executable, "-c", TRACE, str(tmp_path)], capture_output=True, text=True, check=True)
    reach.forget()
    roots = (repository / "workflow/scripts/table.py", "campfire.report.tables.quadrants:make")
    found = [reach.reach(root) for root in roots]
    files = {str(path) for one in found for path in one.files}
    digests = {digest for one in found for digest in one.digests}
    called = [(file, name) for file, name in json.loads(done.stdout) if not name.startswith("<")]
    carriers = {str(definitions.module_file(name)) for name in reach.CARRIER_MODULES}
    called = [(file, name) for file, name in called if file not in carriers]
    assert len(called) > 5
    for file, name in called:
        assert file in files, f"{name} of {file} ran and is not reached"
        tops = {node.name for node in ast.parse(Path(file).read_text()).body if isinstance(node, ast.FunctionDef)}
        if name in tops:
            units = definitions.take_apart(Path(file)).units[name]
            assert all(unit.digest in digests for unit in units), f"{name} of {file} ran and is not reached"


def test_a_function_of_the_package_can_be_the_root(library: Path) -> None:
    """Its digest follows what it uses and nothing else of its module; with a script both count."""
    area, size = "campfire.room.inner:area", "campfire.room.inner:size"
    before = {area: reach.code_digest(area), size: reach.code_digest(library / "script.py", size)}
    assert before[area] != reach.code_digest(size)
    inner = library / "campfire/room/inner.py"
    inner.write_text(inner.read_text().replace("return len(x)", "return len(x) + 1"))
    reach.forget()
    assert reach.code_digest(area) == before[area]
    assert reach.code_digest(library / "script.py", size) != before[size]
    with pytest.raises(ConfigError, match=r"campfire.room.inner:volume: this package has no such function"):
        reach.code_digest("campfire.room.inner:volume")
