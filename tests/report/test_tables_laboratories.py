"""The table of other laboratories, on predictions whose accuracies are known."""

from pathlib import Path

import pandas as pd
import pytest

from campfire.core.columns import PLATE, SOURCE
from campfire.core.files import read_table, write_table
from campfire.report.tables import laboratories
from campfire.report.tables.options import TableOptions
from campfire.report.tables.sources import probe_results
from support.tables_synthetic import PLATES, quadrants, wells, write_probe

OPTIONS = TableOptions(protocol="release", replicates=50, labels={"ours": "Ours"})


@pytest.fixture
def split() -> pd.DataFrame:
    """Wells of which plate P6 is another laboratory's, and P4 and P5 are OOD plates of the own one."""
    table = wells()
    return table.assign(**{SOURCE: table[PLATE].map(lambda plate: "theirs" if plate == "P6" else "own")})


def test_sources_are_own_or_other(split: pd.DataFrame) -> None:
    assert laboratories.laboratories(split) == {
        "own": (laboratories.OWN, frozenset({"P4", "P5"})),
        "theirs": (laboratories.OTHER, frozenset({"P6"})),
    }


def test_accuracies_are_those_of_the_sources_plates(split: pd.DataFrame, tmp_path: Path) -> None:
    folder = write_probe(tmp_path, "ours", "DNA_AGP_Mito", {"release": quadrants(8, 6, 7, 5)})
    path = folder / "predictions.parquet"
    table = read_table(path)
    lost = (table[PLATE] == "P6").to_numpy()
    table.loc[lost, "predicted"] = "none"  # nothing is recognised in the other laboratory
    write_table(table, path)
    made = laboratories.build(probe_results([folder]), split, OPTIONS)
    assert set(PLATES["OOD"]) == {"P4", "P5", "P6"}
    found = made.data.set_index(["task", "laboratory"])
    assert found.loc[("control", laboratories.OTHER), "ood"] == 0
    assert found.loc[("heldout", laboratories.OTHER), "n_plates_ood"] == 1
    # Odd fits have one more right cell of ten.
    assert found.loc[("control", laboratories.OWN), "ood"] == pytest.approx(0.65)
    assert found.loc[("heldout", laboratories.OWN), "ood"] == pytest.approx(0.55)
    assert found.loc[("heldout", laboratories.OTHER), "id"] == pytest.approx(0.75)
    assert "Ours in another laboratory, control compounds: accuracy falls from 0.850 to 0.000 on theirs" in made.answer
    assert "other laboratory (theirs)" in list(made.layout["From"])


def test_a_run_within_one_laboratory_has_own_plates_alone(split: pd.DataFrame, tmp_path: Path) -> None:
    folder = write_probe(tmp_path, "ours", "DNA_AGP_Mito", {"release": quadrants(8, 6, 7, 5)})
    made = laboratories.build(probe_results([folder]), split.assign(**{SOURCE: "own"}), OPTIONS)
    assert set(made.data["laboratory"]) == {laboratories.OWN} and made.answer == ""
