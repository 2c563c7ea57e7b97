"""The table of docs/segmentation.md, printed and held: real fields with each artefact at three exposures."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from campfire.simulate.artefacts import KINDS


@pytest.fixture(scope="module")
def bench(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("nuclei_artefacts", repository / "bench/nuclei_artefacts.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, least", [("JUMP A01", 0.92), ("NF1 B7", 0.92), ("NF1 D6", 0.85), ("NF1 F7", 0.92), ("DSB 2018", 0.74)]
)
def test_every_artefact_at_every_exposure(bench: ModuleType, shared: Path, name: str, least: float) -> None:
    (field,) = [field for field in bench.read_fields(shared / "data/images") if field.name == name]
    for kind in ("none", *KINDS):
        for exposure in bench.EXPOSURES:
            draw = bench.score(field, kind, exposure)
            print(name, kind, exposure, f"{draw['f1']:.2f} ({draw['found']}/{draw['reference']})")
            assert draw["f1"] >= least, (kind, exposure, draw)
            if least >= 0.92:
                assert abs(draw["found"] - draw["reference"]) <= 0.1 * draw["reference"], (kind, exposure, draw)
