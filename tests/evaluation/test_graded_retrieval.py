"""Graded retrieval and the layout leak, on embeddings whose right values are known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.profiles import ProfileOptions, graded_retrieval, layout_leak, profile_summary
from campfire.evaluation.profiles.retrieval import average_precision
from campfire.evaluation.statistics import BootstrapOptions
from campfire.report.tables import retrieval
from campfire.report.tables.options import TableOptions

COMPOUNDS, BATCHES, PLATES, DIM = 8, 3, 4, 64
OPTIONS = BootstrapOptions(replicates=100)
RNG = np.random.default_rng(0)


def wells(layouts: int = 1) -> pd.DataFrame:
    """Every compound once on every plate; plates alternate between layouts, in which compounds take other wells."""
    rows = [
        (f"P{b}{p}", f"A{(c + (p % layouts)) % COMPOUNDS + 1:02d}", f"C{c}", f"B{b}")
        for b in range(BATCHES)
        for p in range(PLATES)
        for c in range(COMPOUNDS)
    ]
    return pd.DataFrame(rows, columns=[*names.WELL_KEYS, names.COMPOUND, names.BATCH])


def embedded(*factors: "pd.Series[Any]") -> NDArray[np.float32]:
    """A direction of its own for each combination of the factors' levels, and a little noise."""
    level = pd.MultiIndex.from_arrays(list(factors)).factorize()[0] if factors else np.zeros(0, int)
    directions = RNG.normal(0, 1, (COMPOUNDS * BATCHES * PLATES, DIM))
    count = len(factors[0])
    return (directions[level] + RNG.normal(0, 0.01, (count, DIM))).astype(np.float32)


def grades(table: pd.DataFrame, x: NDArray[np.float32]) -> dict[str, float]:
    found = graded_retrieval(table, x, OPTIONS)
    assert (found["low"] <= found["value"] + 1e-9).all() and (found["value"] <= found["high"] + 1e-9).all()
    return dict(zip(found["metric"].str.removeprefix("graded_"), found["value"], strict=True))


def test_embeddings_of_compounds_alone_are_retrieved_in_every_grade() -> None:
    table = wells(layouts=2)
    found = grades(table, embedded(table[names.COMPOUND]))
    assert found == pytest.approx({"same_batch": 1, "other_batch": 1, "other_layout": 1})


def test_what_is_particular_to_a_batch_is_retrieved_in_the_batch_alone() -> None:
    table = wells()
    found = grades(table, embedded(table[names.COMPOUND], table[names.BATCH]))
    assert found["same_batch"] == pytest.approx(1)
    assert abs(found["other_batch"]) < 0.1
    assert "other_layout" not in found  # every plate has the same layout


def test_positions_help_only_where_the_layout_is_the_same() -> None:
    table = wells(layouts=2)
    found = grades(table, embedded(table[names.WELL]))
    assert found["other_layout"] < 0.05 < found["same_batch"]


def test_random_embeddings_are_at_chance() -> None:
    table = wells(layouts=2)
    found = grades(table, RNG.normal(0, 1, (len(table), DIM)).astype(np.float32))
    assert max(map(abs, found.values())) < 0.08


def test_similarities_looked_up_give_the_average_precision_of_copairs_own() -> None:
    from copairs.map import average_precision as own

    table = wells(layouts=2)
    x = (0.3 * embedded(table[names.COMPOUND]) + RNG.normal(0, 1, (len(table), DIM))).astype(np.float32)
    arguments = ([names.COMPOUND], [names.PLATE])
    ours = average_precision(table, x, *arguments, [names.COMPOUND])
    expected = own(table.reset_index(drop=True), x, *arguments, [], [names.COMPOUND], progress_bar=False)
    assert ours is not None and 0.05 < ours["normalized_average_precision"].mean() < 0.95
    for column in ("n_pos_pairs", "n_total_pairs", "average_precision", "normalized_average_precision"):
        np.testing.assert_allclose(ours[column], expected[column], atol=1e-6)


def test_wells_of_unknown_batch_have_the_layout_grade_alone() -> None:
    table = wells(layouts=2).drop(columns=names.BATCH)
    assert set(grades(table, embedded(table[names.COMPOUND]))) == {"other_layout"}


def test_the_layout_leak_is_one_for_positions_and_zero_for_none() -> None:
    table = wells()
    position = layout_leak(table, embedded(table[names.WELL]), OPTIONS)
    assert position["value"].tolist() == pytest.approx([1])
    nothing = layout_leak(table, RNG.normal(0, 1, (len(table), DIM)).astype(np.float32), OPTIONS).iloc[0]
    assert abs(nothing["value"]) < 0.08 and nothing["low"] < 0.02
    # A plate's own effect is no position: wells of the same plate are not ranked.
    plate = layout_leak(table, embedded(table[names.PLATE]), OPTIONS)["value"].iloc[0]
    assert abs(plate) < 0.1
    one = table[table[names.WELL] == "A01"].reset_index(drop=True)
    assert layout_leak(one, embedded(one[names.WELL]), OPTIONS).empty


def test_summary_and_table_have_the_grades_and_the_leak() -> None:
    rows, values = [], []
    effect, position = RNG.normal(0, 1, (6, DIM)), RNG.normal(0, 1, (9, DIM))
    for plate in range(8):
        outside = plate >= 4
        for well in range(9):  # the first three wells hold the negative control
            compound = max(well - 2, 0)
            task, split = ("heldout", "test_ood_both" if outside else "test_ood_compound")
            if compound < 3:
                task, split = "control", "test_ood_plate" if outside else ("train", "train", "val", "test")[plate]
            for cell in range(4):
                where = (f"P{plate}", f"A{well + 1:02d}", "1", cell + 1)
                rows.append(("release", task, *where, f"C{compound}", split, len(rows)))
                values.append(effect[compound - 1] * (compound > 0) + 0.3 * position[well] + RNG.normal(0, 0.05, DIM))
    columns = ["protocol", "task", *names.CELL_KEYS, names.COMPOUND, "split", "order"]
    sample = pd.DataFrame(rows, columns=columns)
    known = sample.drop_duplicates(names.WELL_KEYS)[[*names.WELL_KEYS, names.COMPOUND]]
    known[names.BATCH] = known[names.PLATE].map(lambda plate: f"B{int(plate[1]) // 2}")
    options = ProfileOptions(representations=("raw",), negative_controls=("C0",))
    probe = ProbeOptions(subsets=1, folds=2, epochs=3, variants=())
    x = np.array(values, np.float32)
    summary = profile_summary(sample[names.CELL_KEYS], x, sample, options, probe, OPTIONS, wells=known)
    leak = summary[summary["metric"] == "layout_leak"]
    assert leak["task"].tolist() == [""] and leak["value"].tolist() == pytest.approx([1])
    other_batch = summary[summary["metric"] == "graded_other_batch"].set_index("task")["value"]
    assert set(other_batch.index) == {"control", "heldout"} and (other_batch > 0.9).all()
    table = retrieval.build({"ours": summary}, TableOptions(protocol="release"))
    assert list(table.layout["Compounds"]) == ["control", "held-out", "negative control"]
    assert table.layout["Well position"].iloc[2].startswith("1.000")
    assert table.layout["Same batch"].iloc[0] != "–" and table.layout["Other layout"].iloc[0] == "–"
    assert "encode the position of a control well" in table.answer
    nothing = retrieval.build({"ours": summary[summary["metric"] == "knn_accuracy"]}, TableOptions(protocol="release"))
    assert nothing.data.empty and "No compound" in nothing.answer
