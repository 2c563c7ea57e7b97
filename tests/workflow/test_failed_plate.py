"""One plate fails: everything else is done, the table names the plate, and with its lines the run completes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from campfire.core.yaml import merge, read_yaml
from campfire.simulate.__main__ import read_options
from campfire.simulate.screen import write_screen

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture
def place(repository: Path, tmp_path: Path) -> Path:
    """The smoke run's screen, of whose training plate every image is cut short."""
    write_screen(tmp_path / "results/smoke-screen", read_options(repository / "config/smoke-screen.yaml"))
    sheet = pd.read_csv(tmp_path / "results/smoke-screen/plates.tsv", sep="\t")
    plate = sheet.loc[sheet["role"] == "train", "Metadata_Plate"].iloc[0]
    images = [path for path in (tmp_path / "results/smoke-screen/s3").rglob("*.tif*") if plate in str(path)]
    for path in images:
        path.write_bytes(path.read_bytes()[:100])
    assert images
    return tmp_path


def snakemake(repository: Path, place: Path, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
    smoke = merge(read_yaml(repository / "config/smoke.yaml"), {"transfer": {"sheet": None}, **changes})
    smoke["known_bad"] = str(repository / "config/known_bad.tsv")
    (place / "run.yaml").write_text(yaml.safe_dump(smoke, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"), "--nocolor"]
    command += ["--profile", str(repository / "profiles/local"), "--cores", "2", "--directory", str(place)]
    command += ["--configfile", str(repository / "config/config.yaml"), str(place / "run.yaml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800)


def times(results: Path) -> dict[str, int]:
    return {str(path.relative_to(results)): path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}


def test_one_failed_plate_stops_nothing_else_and_can_be_left_out(repository: Path, place: Path) -> None:
    results = place / "results/smoke"
    done = snakemake(repository, place, "--", "all")
    output = done.stdout + done.stderr
    assert done.returncode != 0 and "1 job failed:" in output, output[-3000:]
    table = output[output.index("1 job failed:") :]
    (plate,) = {path.stem for path in (place / "logs/smoke/images").iterdir()} - {
        path.stem for path in (results / "tiles").glob("*.npy")
    }
    row = next(line for line in table.splitlines() if line.startswith(plate))
    assert f"logs/smoke/images/{plate}.log" in row and "s3.max_bad_share" in row
    assert "pretrain_run" in table and (results / "sample/cells.parquet").is_file(), "all that can be done is done"
    section = re.search(r"^leave_out:\n(?:  .*\n)+", table, re.MULTILINE)
    assert section, table
    lines = yaml.safe_load(section[0])
    assert lines == {"leave_out": {plate: "images failed"}}

    before = times(results)
    done = snakemake(repository, place, "--", "all", **lines)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    after = times(results)
    counting = ("tables/quadrants", "figures/figure_2_1", "state/")  # these say how many wells are left out
    remade = {name for name in before if after.get(name) != before[name] and not name.startswith(counting)}
    assert not remade, f"nothing finished is made again: {sorted(remade)[:5]}"
    attrition = pd.read_csv(results / "tables/attrition.csv")
    assert set(attrition.loc[attrition["unit"] == "plate", "Metadata_Plate"].astype(str)) == {plate}
    quadrants = (results / "tables/quadrants.md").read_text()
    assert "are left out (`leave_out`)" in quadrants
