"""Inputs that could give a plausible but wrong score: refused with their place, marked, or scored as chance."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError, SplitError
from campfire.evaluation import transfer
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.profiles.graded import graded_retrieval, layout_leak
from campfire.evaluation.profiles.options import ProfileOptions
from campfire.evaluation.profiles.retrieval import replicate_retrieval, untied
from campfire.evaluation.profiles.summary import profile_summary
from campfire.evaluation.statistics import BootstrapOptions
from campfire.evaluation.zprime import pairwise
from support.planted_screen import OPTIONS, screen

Floats = NDArray[np.float32]
FEW = BootstrapOptions(replicates=20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:-3], r"probes: 480 cells come with embeddings of shape \(477, 8\); give an array"),
        (lambda x: np.concatenate([x, x[:3]]), r"480 cells come with embeddings of shape \(483, 8\)"),
        (lambda x: x[:, 0], r"480 cells come with embeddings of shape \(480,\)"),
        (lambda x: x[:, :0], r"480 cells come with embeddings of shape \(480, 0\)"),
    ],
)
def test_rows_that_do_not_match_their_keys_are_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    sample, x = screen(0)
    with pytest.raises(DataError, match=message):
        evaluate(sample[names.CELL_KEYS], change(x), sample, OPTIONS)


def test_a_cell_that_is_sampled_twice_is_refused() -> None:
    sample, x = screen(0)
    with pytest.raises(DataError, match="plate P0, well B01, site 1, nucleus 2 is sampled twice"):
        evaluate(sample[names.CELL_KEYS], x, pd.concat([sample, sample.iloc[[2]]]), OPTIONS)


@pytest.mark.parametrize(
    ("change", "doubted"),
    [
        (lambda x: np.ones_like(x), {"release", "paper", "strict"}),
        (lambda x: x * np.float32(1e-30), {"release", "paper"}),
        (lambda x: x + np.float32(1e6), {"release", "paper"}),
        (lambda x: x, set()),
    ],
)
def test_probes_that_name_one_class_alone_are_marked(change, doubted: set[str]) -> None:  # type: ignore[no-untyped-def]
    """A collapsed encoder, and scales that the release's steps cannot use: chance accuracy, and the reason for it."""
    sample, x = screen(0)
    every = pd.concat([sample.assign(protocol=name) for name in ("release", "paper", "strict")])
    scores = evaluate(sample[names.CELL_KEYS], change(x), every, OPTIONS)[0]
    marked = scores["doubt"].str.contains("all scored cells are given one class")
    assert set(scores.loc[marked, "protocol"]) == doubted
    assert marked.groupby(scores["protocol"]).nunique().eq(1).all()


def test_an_empty_quadrant_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    sample, x = screen(0)
    inside = sample[sample["split"] != "test_ood_both"]
    with caplog.at_level("WARNING"):
        evaluate(sample[names.CELL_KEYS], x, inside, OPTIONS)
    assert caplog.text.count("no cells to score in quadrant test_ood_both") == 1


def replicates() -> pd.DataFrame:
    """Wells of eight compounds on six plates of three batches, the same layout on all."""
    rows = [(f"P{p}", f"A{c:02d}", f"J{c}", f"b{p // 2}") for p in range(6) for c in range(8)]
    return pd.DataFrame(rows, columns=[*names.WELL_KEYS, names.COMPOUND, names.BATCH])


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_embeddings_all_alike_retrieve_no_replicate(value: float) -> None:
    """copairs alone ranks replicates before other wells that are equally near: a perfect score for a dead encoder."""
    wells = replicates()
    x = np.full((len(wells), 5), value, np.float32)
    found = replicate_retrieval(wells, x)["normalized_average_precision"].mean()
    graded = graded_retrieval(wells, x, FEW).set_index("metric")["value"]
    leak = layout_leak(wells[names.WELL_KEYS], x, FEW)["value"].iloc[0]
    assert abs(found) < 0.15 and graded.abs().max() < 0.2 and abs(leak) < 0.15


def test_equal_wells_are_ranked_by_chance_and_others_as_they_are() -> None:
    wells = replicates()
    rng = np.random.default_rng(0)
    own = np.eye(8, dtype=np.float32)[wells.groupby(names.COMPOUND).ngroup()]
    assert replicate_retrieval(wells, own)["average_precision"].min() == pytest.approx(1)  # equal replicates, rightly
    x = rng.normal(size=(len(wells), 5)).astype(np.float32)
    assert untied(x) is x
    x[10] = x[30]
    ranked = [(units := v / np.linalg.norm(v, axis=1, keepdims=True)) @ units.T for v in (x, untied(x))]
    np.testing.assert_allclose(*ranked, atol=3e-5)
    np.testing.assert_array_equal(untied(x), untied(x))


def test_a_broken_reference_well_is_named() -> None:
    """Control wells that only normalise are not sampled; a single broken cell there would spoil its whole plate."""
    sample, x = screen(0)
    control = sample[sample[names.COMPOUND] == "J0"]
    keys = pd.concat([sample[names.CELL_KEYS], control[names.CELL_KEYS].assign(**{names.WELL: "C01"})])
    wells = pd.concat([sample, control.assign(**{names.WELL: "C01"})]).drop_duplicates(names.WELL_KEYS)
    wells = wells.assign(**{names.BATCH: "b0"})
    every = np.concatenate([x, x[control.index]])
    every[len(x) + 2] = np.inf
    options = ProfileOptions(negative_controls=["J0"])
    with pytest.raises(DataError, match="1 negative-control cells are not finite, first plate P0, well C01, site 1, n"):
        profile_summary(keys.reset_index(drop=True), every, sample, options, OPTIONS, FEW, wells)


def test_a_screen_of_one_plate_is_told_what_it_lacks() -> None:
    sample, x = screen(0)
    one = sample[(sample[names.PLATE] == "P0") & (sample["task"] == "heldout")]
    with pytest.raises(SplitError, match=r"no compound has two training wells; add plates, or leave out .*logistic"):
        evaluate(sample[names.CELL_KEYS], x, one.assign(protocol="release"), ProbeOptions(epochs=2, folds=2))


def test_broken_wells_of_a_transfer_screen_are_named() -> None:
    values = np.ones((4, 2))
    values[1, 0] = np.nan
    with pytest.raises(DataError, match="wells are not finite"):
        pairwise(values, ["a", "a", "b", "b"], replicates=5)
    with pytest.raises(DataError, match="4 wells have 3 group names"):
        pairwise(np.ones((4, 2)), ["a", "a", "b"], replicates=5)
    facts = {"group": "M1", "control": "neg", "treatment": "x", "role": "train"}
    keys = pd.DataFrame([("P", "A01", "1", 1), ("P", "A01", "1", 2)], columns=names.CELL_KEYS)
    sheet = pd.DataFrame([{names.PLATE: "P", names.WELL: "A01", **facts}])
    with pytest.raises(DataError, match="1 cells are not finite, first plate P, well A01, site 1, nucleus 2; embed"):
        transfer.embed_wells(None, keys, np.array([[1.0], [np.nan]], np.float32), sheet)
