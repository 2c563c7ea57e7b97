"""Tables that answer one question each by paired differences: masked tiles, unseen channels, training channels."""

from pathlib import Path

import pytest

from campfire.core.errors import DataError
from campfire.evaluation.statistics import MEAN
from campfire.report.tables import compared
from campfire.report.tables.options import TableOptions
from campfire.report.tables.sources import ProbeResult, probe_results
from support.tables_synthetic import quadrants, write_probe

OPTIONS = TableOptions(protocol="release", replicates=50, labels={"whole": "Ours", "alone": "Ours, cell alone"})
RIGHT = {
    ("whole", "DNA_AGP_Mito"): quadrants(8, 7, 6, 5),
    ("alone", "DNA_AGP_Mito"): quadrants(6, 5, 4, 3),
    ("whole", "DNA"): quadrants(3, 3, 3, 3),
    ("whole", "DNA_ER"): quadrants(5, 5, 5, 5),
    ("whole", "DNA_RNA"): quadrants(3, 3, 3, 3),
    ("whole", "DNA_ER_RNA"): quadrants(5, 5, 5, 5),
    ("one", "DNA_AGP_Mito"): quadrants(4, 4, 4, 4),
}
"""Right cells of ten by encoder and channel set."""
TRAINED = {"whole": ["DNA", "AGP", "Mito"], "one": ["DNA"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[ProbeResult]:
    root = tmp_path_factory.mktemp("compared")
    return probe_results([write_probe(root, *pair, {"release": right}) for pair, right in RIGHT.items()])


def test_what_is_lost_without_the_surroundings(results: list[ProbeResult]) -> None:
    table = compared.outside(results, OPTIONS, {"alone": "whole"})
    mean = table.data[table.data["split"] == MEAN].iloc[0]
    # Odd fits have one more right cell of ten.
    assert (mean["accuracy_first"], mean["accuracy_second"]) == pytest.approx((0.70, 0.50))
    assert mean["difference"] == pytest.approx(0.2)
    assert "Of Ours's accuracy 0.700 (mean of the quadrants), +0.200" in table.answer
    assert "lost with Ours, cell alone" in table.answer


def test_unseen_channels_are_added_one_by_one(results: list[ProbeResult]) -> None:
    claims = compared.unseen_claims(results, OPTIONS, TRAINED)
    # ER and RNA together are no single channel, and `one` was evaluated on no set with a single unseen one.
    assert [(claim.first, claim.second[0]) for claim in claims] == [
        (("whole", "DNA_ER"), ("whole", "DNA")),
        (("whole", "DNA_RNA"), ("whole", "DNA")),
    ]
    data = compared.unseen(results, OPTIONS, TRAINED).data
    gained = data[data["split"] == MEAN].set_index("first")["difference"]
    assert gained["whole/DNA_ER"] == pytest.approx(0.2) and gained["whole/DNA_RNA"] == pytest.approx(0)


def test_encoders_are_compared_by_their_training_channels(results: list[ProbeResult]) -> None:
    table = compared.training(results, OPTIONS, TRAINED)
    (mean,) = table.data[table.data["split"] == MEAN].to_dict("records")
    assert (mean["first"], mean["second"]) == ("whole/DNA_AGP_Mito", "one/DNA_AGP_Mito")
    assert mean["difference"] == pytest.approx(0.25)
    assert "trained on Nu + Ac + M, against one, on Nu" in mean["statement"]


def test_without_anything_to_compare_the_table_says_so(results: list[ProbeResult]) -> None:
    with pytest.raises(DataError, match="allow no comparison"):
        compared.outside(results, OPTIONS, {"alone": "another"})
    with pytest.raises(DataError, match="allow no comparison"):
        compared.training(results, OPTIONS, {"whole": ["DNA"], "one": ["AGP"]})


def test_catalogue_names_functions_that_exist(tmp_path: Path) -> None:
    from campfire.report.catalogue import TABLES
    from campfire.report.tables.inputs import function

    assert all(callable(function(entry.function)) for entry in TABLES)
