"""What the paper's run reads and writes, computed from the real split."""

from pathlib import Path

import pandas as pd
import pytest

from campfire.core.columns import COMPOUND, PLATE, PLATE_TYPE, WELL
from campfire.runs.scale import SourceFacts, main, probe_scale, run_scale, to_markdown
from campfire.screen.metadata import read_sheet, read_wells
from campfire.screen.split import SplitOptions, assign_wells


@pytest.fixture(scope="module")
def table(shared: Path, repository: Path) -> pd.DataFrame:
    sheet = read_sheet(repository / "config" / "plates.tsv")
    wells = read_wells(shared / "data" / "metadata" / "well.csv.gz", sheet)
    return assign_wells(sheet, wells, SplitOptions())


def test_facts_of_source_3() -> None:
    facts = SourceFacts()
    assert facts.sites_per_well == 9
    assert facts.bytes_per_tiff == pytest.approx(2.53e6, rel=1e-3)
    assert facts.cells_per_site == pytest.approx(150, rel=0.01)


def test_paper_run_against_everything(table: pd.DataFrame) -> None:
    scale = run_scale(table).set_index("part")
    assert scale.loc["evaluation plates", ["plates", "wells", "objects"]].tolist() == [25, 8019, 8019 * 9 * 5]
    assert scale.loc["training plates", ["plates", "wells", "objects"]].tolist() == [237, 54635, 54635 * 9 * 3]
    assert scale.loc["everything", "objects"] == 100528 * 9 * 5
    assert scale.loc["everything", "bytes"] == pytest.approx(11.45e12, rel=1e-3)
    assert scale.loc["total", "bytes"] == pytest.approx(4.65e12, rel=1e-3)
    assert scale.loc["saved", "bytes"] == pytest.approx(1 - 4.6477 / 11.4515, abs=1e-3)
    assert scale.loc["largest plate", "objects"] == 384 * 9 * 5
    functions = run_scale(table, illumination=True).set_index("part")["objects"] - scale["objects"]
    assert functions["training plates"] == 237 * 3 and functions["evaluation plates"] == 25 * 5


def test_cells_to_embed(table: pd.DataFrame) -> None:
    cells = probe_scale(table).set_index(["protocol", "task"])["cells"]
    assert cells["release", "control"] == 22500 and cells["release", "heldout"] == 47250
    assert cells["paper", "control"] == 100 * (20 * 9 + 5 * (64 + 5 + 3 * 2))
    assert cells["all", "embed: sampled"] == 22500 + 55500 + 2 * 47250 and cells["strict", "control"] == 55500


def test_small_numbers_by_hand() -> None:
    wells = [("P1", "A01", "N", "test"), ("P1", "A02", "H", "test_ood_compound"), ("T1", "A01", "N", "train")]
    wells.append(("T1", "A02", "N", "unused"))
    table = pd.DataFrame(wells, columns=[PLATE, WELL, COMPOUND, "split"]).assign(**{PLATE_TYPE: "X"})
    facts = SourceFacts(plates=1, wells=1, sites=2, tiffs=10, tiff_bytes=1000, cells=6, image_px=4)
    scale = run_scale(table, 1, 2, tile_px=3, illumination=True, facts=facts).set_index("part")
    assert scale.loc["evaluation plates"].tolist() == [1, 2, 4, 8 + 2, 8 * 100 + 2 * 64, 12, 12 * 2 * 18]
    assert scale.loc["training plates"].tolist() == [1, 1, 2, 2 + 1, 2 * 100 + 64, 6, 6 * 18]
    assert scale.loc["everything", "objects"] == 4 * 2 * 2 + 2 * 2
    assert scale.loc["saved", "wells"] == 0.25
    cells = probe_scale(table, controls=["N"], facts=facts).set_index(["protocol", "task"])["cells"]
    assert cells["paper", "control"] == 100 and cells["paper", "heldout"] == 30 and cells["all", "embed: all"] == 12


def test_markdown(shared: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shared / "data" / "metadata"
    sheet = repository / "config" / "plates.tsv"
    assert main(["--plates", str(sheet), "--metadata", str(folder), "--protocol", "paper"]) == 0
    text = capsys.readouterr().out
    assert "| training plates | 237 | 45,562 | 410,058 | 1,230,174 | 3.11 TB |" in text
    assert "| saved |" in text and "64.8 %" in text
    assert main(["--split", "/no/such/wells.parquet"]) == 1
    assert "no such table" in capsys.readouterr().err


def test_markdown_is_a_table() -> None:
    lines = to_markdown(
        pd.DataFrame({"part": ["a", "saved"], "bytes": [2e9, 0.5], "wells": [1234.0, 0.25]})
    ).splitlines()
    assert lines[2:] == ["| a | 2.0 GB | 1,234 |", "| saved | 50.0 % | 25.0 % |"]
