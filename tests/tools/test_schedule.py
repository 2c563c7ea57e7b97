"""Plates played through: by hand for two, in bounds for the paper's split."""

from pathlib import Path

import pandas as pd
import pytest

from campfire.screen.metadata import read_sheet, read_wells
from campfire.screen.split import SplitOptions, assign_wells
from schedule import PlateCosts, main, plate_work, schedule, simulate

COSTS = PlateCosts(verify_s=0.1, nuclei_s=2.0, tiles_s=0.5, job_s=0.0, threads=1, bandwidth=100.0)
WORK = pd.DataFrame({"sites": [10.0, 10.0], "images": [20.0, 20.0], "bytes": [1000.0, 1000.0]})
"""10 s to fetch alone (20 when two share), 20 s of nuclei, 10 s of tiles."""


def test_one_after_the_other_and_side_by_side() -> None:
    one, two = simulate(WORK, 1, COSTS), simulate(WORK, 2, COSTS)
    assert one.hours * 3600 == pytest.approx(2 * (10 + 30)) and one.raw_bytes == 1000
    assert two.hours * 3600 == pytest.approx(20 + 30) and two.raw_bytes == 2000
    assert one.core_hours == two.core_hours == pytest.approx(2 * (2 + 20 + 10) / 3600)
    assert one.network_hours * 3600 == pytest.approx(2 * 8) and two.network_hours * 3600 == pytest.approx(2 * 18)


def test_a_download_is_no_faster_than_its_verification() -> None:
    slow = PlateCosts(verify_s=5.0, nuclei_s=0.0, tiles_s=0.0, job_s=0.0, threads=1, bandwidth=1e9)
    assert simulate(WORK, 1, slow).hours * 3600 == pytest.approx(200)
    assert simulate(WORK, 1, slow).network_hours == pytest.approx(0, abs=1e-9)


def test_the_paper_split(shared: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = read_sheet(repository / "config/plates.tsv")
    table = assign_wells(sheet, read_wells(shared / "data/metadata/well.csv.gz", sheet), SplitOptions())
    work = plate_work(table)
    assert len(work) == 262 and work["bytes"].sum() == pytest.approx(4.65e12, rel=1e-3)
    rows = [simulate(work, number) for number in (1, 8, 64)]
    assert rows[0].hours > 2 * rows[1].hours >= 2 * rows[2].hours * 0.99
    assert rows[2].hours >= work["bytes"].sum() / 125e6 / 3600, "never faster than the network"
    assert rows[0].raw_bytes == work["bytes"].max()
    assert len(schedule(table)) == 3
    arguments = ["--plates", str(repository / "config/plates.tsv"), "--metadata", str(shared / "data/metadata")]
    assert main([*arguments, "--megabytes", "125"]) == 0
    assert "At 125 MB/s" in capsys.readouterr().out
    assert main(["--split", "/no/such.parquet"]) == 1
