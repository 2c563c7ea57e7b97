"""What a run will fetch, keep and compute, said before its first byte."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from campfire.core.yaml import merge, read_yaml
from campfire.runs import forecast as module
from campfire.runs.cost import PlannedJob
from campfire.runs.forecast import forecast, lacking_disk, render
from campfire.runs.run import Run


def planned(run: Run) -> list[PlannedJob]:
    plates = [PlannedJob("images", "images", plate, False, "not made yet") for plate in run.plates]
    return [*plates, PlannedJob("pretrain", "pretrain_run", "campfire", False, "not made yet")]


def test_the_papers_run_is_forecast_from_its_real_split(
    repository: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `campfire scale` counts it: docs/scale.md has the same numbers."""
    wells = {"metadata": {"well": {"address": str(shared / "data/metadata/well.csv.gz"), "sha256": None}}}
    base: dict[str, Any] = merge(read_yaml(repository / "config/config.yaml"), wells)
    for key in ("sheet", "known_bad"):
        base[key] = str(repository / base[key])
    monkeypatch.chdir(tmp_path)
    run = Run.read(base, repository / "workflow")
    found = forecast(run, planned(run))
    assert found is not None and found.exact and found.plates == 262
    assert round(found.bytes / 1e12, 2) == 4.65 and round(found.objects) == 1_836_000
    assert round(found.tile_bytes / 1e12, 2) == 6.89 and found.passes["campfire"] == pytest.approx(3.9e9, rel=0.01)
    assert found.gpu_fields == 563_886
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: usage(0, 0, 6e12))
    text = render(found, 64, 8, "results")
    for words in (
        "4.6 TB in 1,836,000 objects of 262 plates",
        "tiles 6.9 TB",
        "free: 6.0 TB",
        "on 64 cores",
        "of H200",
    ):
        assert words in text, text
    assert "the disk has 6.0 TB free; put `results` on a larger disk" in text
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: usage(0, 0, 9e12))
    assert lacking_disk(found, 8, "results") == ""
    monkeypatch.setattr(module, "quota_left", lambda folder: 5e12)
    assert "your quota there has 5.0 TB left; put `results` on a larger disk" in lacking_disk(found, 8, "results")
    assert "free: 9.0 TB, left of your quota: 5.0 TB" in render(found, 64, 8, "results")
    left = Run.read({**base, "leave_out": {run.plates[-1]: "lamp"}}, repository / "workflow")
    less = forecast(left, planned(left))
    assert less is not None and less.plates == 261 and less.wells < found.wells
    unknown = Run.read(
        {**base, "metadata": {**base["metadata"], "well": wells["metadata"]["well"] | {"address": "x"}}}, ""
    )
    guess = forecast(unknown, planned(unknown))
    assert guess is not None and not guess.exact and guess.bytes == pytest.approx(found.bytes, rel=0.1)
    own = Run.read(merge(base, {"s3": {"folder": "mine"}}), repository / "workflow")
    assert forecast(own, planned(own)) is None, "sizes of other sources are not published"
