"""Normalisation, neighbours, replicate retrieval, variance shares and their summary."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.core.errors import ConfigError, DataError
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.profiles import (
    ProfileOptions,
    knn_predict,
    logistic_predict,
    profile_summary,
    replicate_retrieval,
    variance_shares,
)
from campfire.evaluation.profiles.normalise import normalise
from campfire.evaluation.statistics import BootstrapOptions
from campfire.evaluation.well_means import well_means

DIM = 10


def screen(
    plates: int = 9,
    cells: int = 12,
    compounds: int = 6,
    plate_sd: float = 1.0,
    compound_sd: float = 1.0,
    well_sd: float = 0.3,
    seed: int = 0,
) -> tuple[Any, ...]:
    """A sample of both tasks: the last two plates are OOD, C0 is the negative control, C3 and on are held out."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(0, compound_sd, (compounds, DIM))
    effect[0] = 0
    mixing = rng.normal(0, 1, (DIM, DIM))
    rows, values = [], []
    for plate in range(plates):
        shift, scale = rng.normal(0, 3 * plate_sd, DIM), rng.uniform(0.5, 2, DIM) ** plate_sd
        outside = plate >= plates - 2
        for compound in range(compounds):
            held_out = compound >= 3
            split = "test_ood_both" if outside else "test_ood_compound"
            if not held_out:
                split = "test_ood_plate" if outside else ["train"] * 5 + ["val", "test"]
                split = split if outside else split[(plate + compound) % 7]
            well = effect[compound] + rng.normal(0, well_sd, DIM)
            for cell in range(cells):
                where = (f"P{plate}", f"A{compound + 1:02d}", "1", cell + 1)
                rows.append(("release", "heldout" if held_out else "control", *where, f"C{compound}", split, len(rows)))
                values.append((well + rng.normal(0, 0.7, DIM)) @ mixing * scale + shift)
    columns = ["protocol", "task", *names.CELL_KEYS, names.COMPOUND, "split", "order"]
    return pd.DataFrame(rows, columns=columns), np.array(values, np.float32)


def test_well_means() -> None:
    sample, x = screen()
    order = np.random.default_rng(1).permutation(len(x))
    wells, means = well_means(sample.iloc[order], x[order])
    assert len(wells) == 54 and (wells["n_cells"] == 12).all()
    row = wells.index[(wells[names.PLATE] == "P3") & (wells[names.WELL] == "A02")][0]
    mine = ((sample[names.PLATE] == "P3") & (sample[names.WELL] == "A02")).to_numpy()
    np.testing.assert_allclose(means[row], x[mine].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("representation", ["sphered", "tvn"])
def test_controls_become_white_and_plates_alike(representation: str) -> None:
    sample, x = screen(cells=200, plate_sd=1 if representation == "sphered" else 0)
    controls = (sample[names.COMPOUND] == "C0").to_numpy()
    white = normalise(sample, x, controls, representation, shrinkage=1e-4)[controls]
    np.testing.assert_allclose(
        np.cov(white, rowvar=False), np.eye(DIM), atol=0.15 if representation == "sphered" else 0.25
    )
    for plate in sample[names.PLATE].unique():
        mine = (sample[names.PLATE] == plate).to_numpy()[controls]
        np.testing.assert_allclose(white[mine].mean(axis=0), 0, atol=1e-4)
    assert normalise(sample, x, controls, "raw") is x


def test_normalisation_removes_what_plates_do() -> None:
    sample, x = screen(plate_sd=1.5, cells=60, well_sd=0.02)
    controls = (sample[names.COMPOUND] == "C0").to_numpy()

    def shares(values: Any) -> Any:
        wells, means = well_means(sample, values)
        wells = wells.merge(sample.drop_duplicates(names.WELL_KEYS)[[*names.WELL_KEYS, names.COMPOUND]])
        table = variance_shares(wells, means, options=BootstrapOptions(replicates=20)).set_index("factor")
        return table["share"]

    before, after = shares(x), shares(normalise(sample, x, controls, "sphered"))
    assert before[names.PLATE] > 0.1 > after[names.PLATE]
    assert after[names.COMPOUND] > 0.7 > before[names.COMPOUND] + 0.05


def test_plates_without_controls_are_named() -> None:
    sample, x = screen()
    controls = ((sample[names.COMPOUND] == "C0") & (sample[names.PLATE] != "P4")).to_numpy()
    with pytest.raises(DataError, match="plate P4 has 0 cells of the negative control"):
        normalise(sample, x, controls, "sphered")
    with pytest.raises(DataError, match="unknown representation `white`"):
        normalise(sample, x, controls, "white")


def test_neighbours_equal_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    train, labels = rng.normal(0, 1, (300, 6)).astype(np.float32), rng.integers(0, 2, 300)
    queries = rng.normal(0, 1, (1500, 6)).astype(np.float32)
    theirs = KNeighborsClassifier(7, metric="cosine").fit(train, labels).predict(queries)  # odd k, two classes: no ties
    assert np.array_equal(knn_predict(train, labels, queries, 2, 7), theirs)
    assert (knn_predict(train[:3], labels[:3], queries[:5], 2, 20) == np.bincount(labels[:3]).argmax()).all()


def average_precision_by_hand(wells: Any, x: Any) -> Any:
    """Of each well: its compound's wells on other plates among these and all wells of other compounds."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    similar, values = unit @ unit.T, []
    for i in range(len(wells)):
        same = (wells[names.COMPOUND] == wells[names.COMPOUND].iloc[i]).to_numpy()
        relevant = same & (wells[names.PLATE] != wells[names.PLATE].iloc[i]).to_numpy()
        listed = np.flatnonzero(relevant | ~same)
        ranked = relevant[listed[np.argsort(-similar[i, listed])]]
        values.append((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean())
    return np.array(values)


def test_replicate_retrieval_equals_doing_it_by_hand() -> None:
    sample, x = screen()
    wells, means = well_means(sample, x)
    wells = wells.merge(sample.drop_duplicates(names.WELL_KEYS)[[*names.WELL_KEYS, names.COMPOUND]])
    table = replicate_retrieval(wells, means)
    assert len(table) == len(wells)
    np.testing.assert_allclose(table["average_precision"], average_precision_by_hand(wells, means), atol=1e-5)
    with pytest.raises(DataError, match="no replicates to retrieve"):
        one = (wells[names.PLATE] == "P0").to_numpy()
        replicate_retrieval(wells[one].reset_index(drop=True), means[one])


def test_variance_shares_find_what_was_put_in() -> None:
    rng = np.random.default_rng(0)
    wells = pd.DataFrame(
        [(f"C{c}", f"P{p}") for c in range(40) for p in range(30)], columns=[names.COMPOUND, names.PLATE]
    )
    compound, plate = rng.normal(0, 1, (40, 5)), rng.normal(0, 0.5, (30, 5))
    noise = rng.normal(0, 1.5, (1200, 5))
    x = np.repeat(compound, 30, axis=0) + np.tile(plate, (40, 1)) + noise
    table = variance_shares(wells, x.astype(np.float32), options=BootstrapOptions(replicates=60)).set_index("factor")
    put_in = {names.COMPOUND: compound.var(axis=0).mean(), names.PLATE: plate.var(axis=0).mean(), "residual": 2.25}
    total = sum(put_in.values())
    for factor, variance in put_in.items():
        assert table["share"][factor] == pytest.approx(variance / total, abs=0.03)
        assert table["low"][factor] < table["share"][factor] < table["high"][factor]
    assert table["share"].sum() == pytest.approx(1, abs=0.01)
    with pytest.raises(DataError, match="embeddings of all wells are equal"):
        variance_shares(wells, np.ones((1200, 5), np.float32))
    nothing = variance_shares(wells, noise.astype(np.float32), options=BootstrapOptions(replicates=5))
    assert np.abs(nothing["share"][:2]).max() < 0.02
    with pytest.raises(DataError, match="too few"):
        variance_shares(wells[:31], x[:31].astype(np.float32))


def test_variance_shares_are_those_of_least_squares_on_all_wells() -> None:
    """Unequal numbers of wells, one compound on one plate only; the projections are written out."""
    rng = np.random.default_rng(1)
    compound, plate = rng.integers(0, 7, 90), rng.integers(0, 5, 90)
    compound[0], plate[compound == 6] = 6, 2
    x = rng.normal(0, 1, (90, 4)) + rng.normal(0, 1, (7, 4))[compound]
    wells = pd.DataFrame({names.COMPOUND: [f"C{c}" for c in compound], names.PLATE: [f"P{p}" for p in plate]})
    table = variance_shares(wells, x.astype(np.float32), options=BootstrapOptions(replicates=3)).set_index("factor")
    y = x.astype(np.float32).astype(np.float64)
    y -= y.mean(axis=0)

    def left(*factors: Any) -> tuple[int, float]:
        design = np.concatenate([np.ones((90, 1)), *(np.eye(f.max() + 1)[f] for f in factors)], axis=1)
        residual = y - design @ np.linalg.lstsq(design, y, rcond=1e-9)[0]
        return int(np.linalg.matrix_rank(design)), float((residual**2).sum())

    (rank, rest), (_, total) = left(compound, plate), left()
    noise = rest / (90 - rank)
    for factor, (others, more) in ((names.COMPOUND, left(plate)), (names.PLATE, left(compound))):
        share = (more - rest - (rank - others) * noise) / (total + noise)
        assert table["share"][factor] == pytest.approx(share, rel=1e-9)
    assert table["share"]["residual"] == pytest.approx(90 * noise / (total + noise), rel=1e-9)


def test_plates_are_counted_within_their_batch() -> None:
    rng = np.random.default_rng(1)
    plates, compounds = 24, 30
    wells = pd.DataFrame(
        [(f"C{c}", f"P{p}", f"B{p // 4}") for c in range(compounds) for p in range(plates)],
        columns=[names.COMPOUND, names.PLATE, names.BATCH],
    )
    effects = {
        names.COMPOUND: np.repeat(rng.normal(0, 1, (compounds, 8)), plates, axis=0),
        names.BATCH: np.tile(np.repeat(rng.normal(0, 0.8, (plates // 4, 8)), 4, axis=0), (compounds, 1)),
        names.PLATE: np.tile(rng.normal(0, 0.5, (plates, 8)), (compounds, 1)),
    }
    noise = rng.normal(0, 1, (len(wells), 8))
    options = BootstrapOptions(replicates=5)

    def shares(*parts: Any) -> Any:
        x = (sum(effects[name] for name in parts) + noise).astype(np.float32)
        return variance_shares(wells, x, list(effects), options).set_index("factor")["share"]

    put_in = {names.COMPOUND: 1.0, names.BATCH: 0.64, names.PLATE: 0.25, "residual": 1.0}
    found = shares(*effects)
    for factor, variance in put_in.items():
        assert found[factor] == pytest.approx(variance / sum(put_in.values()), abs=0.08), factor
    # Plates that differ are no evidence of batches that do.
    assert abs(shares(names.PLATE)[names.BATCH]) < 0.05 < shares(names.PLATE)[names.PLATE]


def test_wells_are_classified_to_convergence() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (4, 6)) * np.array([1e-3, 1, 100, 1, 1, 1])  # dimensions of any scale
    labels = np.repeat(np.arange(4), 12)
    x = (centres[labels] + rng.normal(0, 0.2, (48, 6)) * np.array([1e-3, 1, 100, 1, 1, 1])).astype(np.float32)
    guess = logistic_predict(x[::2], labels[::2], x[1::2])
    assert (guess == labels[1::2]).mean() > 0.9
    assert np.array_equal(guess, logistic_predict(x[::2], labels[::2], x[1::2]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"representations": ["white"]}, "profiles.representations.0: .white. is not one of raw, sphered, tvn"),
        ({"representations": []}, r"profiles.representations: \[\] needs at least 1"),
        ({"neighbours": 0}, "profiles.neighbours: 0"),
        ({"shrinkage": 1.0}, "profiles.shrinkage: 1.0"),
        ({"regularisation": 0}, "profiles.regularisation: 0"),
    ],
)
def test_wrong_options_are_answered(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProfileOptions(**wrong)


def test_summary_has_every_metric_and_no_duplicates() -> None:
    sample, x = screen(plate_sd=0.5)
    options = ProfileOptions(representations=["raw", "sphered"], negative_controls=["C0"], neighbours=5)
    probe = ProbeOptions(subsets=3, folds=3, epochs=20)
    table = profile_summary(sample[names.CELL_KEYS], x, sample, options, probe, BootstrapOptions(replicates=50))
    identity = ["protocol", "task", "split", "metric", "representation", "level"]
    assert not table.duplicated(identity).any()
    assert table["value"].notna().all()
    known = table["low"].notna()
    assert (table.loc[known, "low"] <= table.loc[known, "high"]).all() and known.mean() > 0.7
    retrieved = table["metric"].str.startswith("map")
    assert set(table.loc[~known & ~retrieved, "split"]) == {"test"}  # two wells are left there: no interval
    assert set(table.loc[~known & retrieved, "split"]) == {"test_ood_plate", "test_ood_both"}  # of two plates
    pieces = table.set_index(identity)["value"].sort_index()
    metrics = {"probe_accuracy", "probe_balanced_accuracy", "knn_accuracy", "map", "map_normalized"}
    assert metrics < set(table["metric"])
    for level in ("cell", "well"):
        assert pieces["release", "heldout", "test_ood_compound", "knn_accuracy", "sphered", level] > 0.6
    wells = sample[[*names.WELL_KEYS, names.COMPOUND]].drop_duplicates()
    number = wells[names.PLATE].str[1:].astype(int)
    again, batched = (
        profile_summary(
            sample[names.CELL_KEYS], x, sample, options, probe, BootstrapOptions(replicates=50),
            wells=wells.assign(**{names.BATCH: batch.astype(str)}),
        )
        for batch in (number, number // 3)
    )  # fmt: skip
    # The sample holds all cells of the control wells, and batches of one plate each are no factor of their own.
    pd.testing.assert_frame_equal(again, table)
    added = set(batched["metric"]) - set(table["metric"])
    assert added == {"variance_batch", "graded_same_batch", "graded_other_batch"}
    assert len(batched) == len(table) + 3 * 4


def test_the_control_that_normalises_is_no_class() -> None:
    # No compound does anything here, yet the one control well of a plate lies at the origin once it normalised the
    # plate, whatever its split: scored as a class it would be known by that alone.
    sample, x = screen(compounds=3, compound_sd=0, well_sd=1.0)
    negative = (sample[names.COMPOUND] == "C0").to_numpy()
    wells, means = well_means(sample, normalise(sample, x, negative, "sphered"))
    at_origin = (wells[names.WELL] == "A01").to_numpy()
    lengths = np.linalg.norm(means, axis=1)
    assert lengths[at_origin].max() < 1e-3 < 1 < lengths[~at_origin].min()
    options = ProfileOptions(representations=["raw"], negative_controls=["C0"])
    probe, few = ProbeOptions(subsets=1, folds=3, epochs=2), BootstrapOptions(replicates=10)
    table = profile_summary(sample[names.CELL_KEYS], x, sample, options, probe, few)
    others = sample[~negative].reset_index(drop=True)
    alone = profile_summary(others[names.CELL_KEYS], x[~negative], others, options, probe, few)
    pd.testing.assert_frame_equal(table, alone)


def test_a_plate_without_controls_is_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    sample, x = screen(cells=3, compounds=5)
    lost = (sample[names.COMPOUND] == "C0") & (sample[names.PLATE] == "P4")
    kept, values = sample[~lost].reset_index(drop=True), x[~lost.to_numpy()]
    options = ProfileOptions(representations=["sphered"], negative_controls=["C0"])
    probe, few = ProbeOptions(subsets=1, folds=3, epochs=1), BootstrapOptions(replicates=5)
    with caplog.at_level("WARNING"):
        table = profile_summary(kept[names.CELL_KEYS], values, kept, options, probe, few)
    assert "1 of 9 plates have fewer than two cells of the negative control and are left out: P4" in caplog.text
    without = kept[kept[names.PLATE] != "P4"]
    again = profile_summary(without[names.CELL_KEYS], values[without.index], without, options, probe, few)
    pd.testing.assert_frame_equal(table, again)
    with pytest.raises(DataError, match="no plate has two cells of the negative control"):
        profile_summary(kept[names.CELL_KEYS], values, kept, ProfileOptions(), probe, few)
