"""The three protocols: which cells train, stop and are scored, and the effect of each source of leakage."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.core.errors import DataError, SplitError
from campfire.evaluation.probes import LEAKAGE_EFFECTS, ProbeOptions, leakage_table, well_position_table
from campfire.evaluation.probes.evaluate import PREDICTION_COLUMNS, SCORE_COLUMNS, evaluate
from campfire.evaluation.probes.folds import plan_folds
from campfire.evaluation.statistics import BootstrapOptions

SMALL = {"subsets": 4, "folds": 3, "epochs": 30, "patience": 8, "learning_rate": 0.02, "variants": ()}


def screen(
    plates: int = 7,
    ood: int = 2,
    cells: int = 6,
    compounds: int = 10,
    dim: int = 8,
    seed: int = 0,
    well_sd: float = 0.5,
    plate_sd: float = 0.5,
) -> tuple[Any, ...]:
    """Few plates, five, one and one wells of each compound, half of the compounds held out."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(0, 1, (compounds, dim))
    rows, values = [], []
    for plate in range(plates + ood):
        shift = rng.normal(0, plate_sd, dim)
        for compound in range(compounds):
            held_out = compound >= compounds // 2
            split = "test_ood_compound" if held_out else (["train"] * 5 + ["val", "test"])[(plate + compound) % 7]
            if plate >= plates:
                split = "test_ood_both" if held_out else "test_ood_plate"
            well = effect[compound] + shift + rng.normal(0, well_sd, dim)
            for cell in range(cells):
                keys = (f"P{plate}", f"B{compound + 1:02d}", "1", cell + 1)
                rows.append(("heldout" if held_out else "control", *keys, f"J{compound:02d}", split, len(rows)))
                values.append(well + rng.normal(0, 1, dim))
    columns = ["task", *names.CELL_KEYS, names.COMPOUND, "split", "order"]
    sample = pd.DataFrame(rows, columns=columns).astype({names.NUCLEUS: "int32"})
    return sample.assign(protocol="strict"), np.array(values, np.float32)


def labelled(sample: Any, task: Any) -> Any:
    cells = sample[sample["task"] == task].reset_index(drop=True)
    return cells.assign(label=np.unique(cells[names.COMPOUND], return_inverse=True)[1])


def wells_of(cells: Any, rows: Any) -> Any:
    return set(map(tuple, cells.iloc[rows][names.WELL_KEYS].to_numpy()))


def test_strict_folds_share_no_well_or_plate() -> None:
    cells = labelled(screen()[0], "heldout")
    options = ProbeOptions(**SMALL)
    layout = plan_folds("heldout", options.protocol("strict"), cells, options)
    scored = np.concatenate([q["test_ood_compound"] for q in layout.scored])
    assert sorted(scored) == np.flatnonzero(cells["split"] == "test_ood_compound").tolist()
    for fit, quadrants in zip(layout.fits, layout.scored, strict=True):
        left_out = quadrants["test_ood_compound"]
        plates = cells[names.PLATE].to_numpy()
        assert not set(plates[left_out]) & set(plates[np.concatenate([fit.train, fit.monitor])])
        assert not wells_of(cells, fit.train) & wells_of(cells, fit.monitor)
        assert set(cells["label"].iloc[fit.train]) == set(cells["label"].iloc[fit.monitor]) == set(range(5))
        assert (cells["split"].iloc[quadrants["test_ood_both"]] == "test_ood_both").all()


def test_release_monitors_the_scored_fold_and_strict_does_not() -> None:
    cells = labelled(screen()[0], "heldout")
    options = ProbeOptions(**SMALL)
    for name, shared in (("release", True), ("paper", True), ("strict", False)):
        layout = plan_folds("heldout", options.protocol(name), cells, options)
        for fit, quadrants in zip(layout.fits, layout.scored, strict=True):
            assert set(quadrants["test_ood_compound"]).issubset(fit.monitor) is shared


def test_control_subsets_are_equal_stratified_and_stop_on_validation_wells() -> None:
    cells = labelled(screen()[0], "control")
    options = ProbeOptions(**SMALL)
    layout = plan_folds("control", options.protocol("strict"), cells, options)
    together = np.concatenate([fit.train for fit in layout.fits])
    assert sorted(together) == np.flatnonzero(cells["split"] == "train").tolist()
    for fit in layout.fits:
        counts = cells["label"].iloc[fit.train].value_counts()
        assert counts.max() - counts.min() <= 1 and len(counts) == 5
        assert (cells["split"].iloc[fit.monitor] == "val").all()


def test_tables_hold_every_fit_and_cell() -> None:
    sample, x = screen()
    both = pd.concat([sample, sample.assign(protocol="release")])
    scores, predictions = evaluate(sample[names.CELL_KEYS], x, both, ProbeOptions(**SMALL))
    assert list(scores) == SCORE_COLUMNS and list(predictions) == PREDICTION_COLUMNS
    counts = scores.groupby(["protocol", "task", "split"]).size()
    assert counts.xs("control", level="task").eq(4).all() and counts.xs("heldout", level="task").eq(3).all()
    assert len(counts) == 8
    assert not predictions.duplicated(["protocol", "task", "fit", "split", *names.CELL_KEYS]).any()
    assert len(predictions) == scores["n_cells"].sum()
    assert scores["accuracy"].between(0, 1).all() and (scores["accuracy"] > 0.2).all()  # chance is 1 in 5
    shuffled = np.random.default_rng(0).permutation(len(x))
    again = evaluate(
        sample[names.CELL_KEYS].iloc[shuffled], x[shuffled], both.sample(frac=1, random_state=1), ProbeOptions(**SMALL)
    )
    order = ["protocol", "task", "fit", "split"]
    pd.testing.assert_frame_equal(
        again[0].sort_values(order, ignore_index=True), scores.sort_values(order, ignore_index=True)
    )


def test_a_protocol_can_be_changed_by_configuration() -> None:
    sample, x = screen()
    held_out = sample[sample["task"] == "heldout"].assign(protocol="release")
    plain = evaluate(sample[names.CELL_KEYS], x, held_out, ProbeOptions(**SMALL))[0]
    changed = evaluate(
        sample[names.CELL_KEYS],
        x,
        held_out,
        ProbeOptions(**SMALL, overrides={"release": {"folds": "plate", "classifier": "logistic"}}),
    )[0]
    strict = evaluate(sample[names.CELL_KEYS], x, held_out.assign(protocol="strict"), ProbeOptions(**SMALL))[0]
    assert not changed["accuracy"].equals(plain["accuracy"])
    pd.testing.assert_frame_equal(changed.drop(columns="protocol"), strict.drop(columns="protocol"))


def test_leakage_is_quantified_and_shared_wells_are_a_source() -> None:
    sample, x = screen(well_sd=2.5, cells=12)  # wells differ so much that knowing a well is knowing its cells
    table = leakage_table(sample[names.CELL_KEYS], x, sample, ProbeOptions(**SMALL), BootstrapOptions(replicates=200))
    assert set(table["source"]) == set(LEAKAGE_EFFECTS) - {"well_position"}
    np.testing.assert_allclose(table["accuracy_with"] - table["accuracy_without"], table["difference"], atol=1e-12)
    row = table[(table["source"] == "wells_shared") & (table["split"] == "test_ood_compound")].iloc[0]
    assert row["low"] > 0.05
    assert set(table.loc[table["task"] == "control", "source"]) == {
        "last_epoch", "plates_shared", "standardised", "converged",
    }  # fmt: skip
    # The control task: the validation wells stop it as it is, all its ID wells are cross-validated for the plates.
    wells = table[(table["task"] == "control") & (table["split"] == "test")].set_index("source")["n_wells"]
    assert (wells["last_epoch"], wells["plates_shared"]) == (5, 35)
    other = table[(table["source"] == "wells_shared") & (table["split"] == "test_ood_both")].iloc[0]
    assert abs(other["difference"]) < row["difference"]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda t: t[t["split"] != "val"], {}, SplitError, "control task has no `val` cells"),
        (lambda t: t[t["split"] != "test_ood_compound"], {}, SplitError, "no `test_ood_compound` cells"),
        (lambda t: t, {"subsets": 40}, SplitError, r"control compound J00 has 30 train cells, too few for 40 subsets"),
        (lambda t: t, {"folds": 8}, SplitError, "7 ID plates carry held-out compounds, too few for 8 folds"),
        (lambda t: t.assign(protocol="release"), {"folds": 50}, SplitError, "42 cells on ID plates, too few for 50"),
        (lambda t: t[t[names.COMPOUND] == "J00"], {}, DataError, "fewer than two compounds"),
        (lambda t: t.iloc[:0], {}, DataError, "no rows"),
        (
            lambda t: t.assign(**{names.WELL: t[names.WELL].replace("B07", "C07")}),
            {},
            DataError,
            "54 of [0-9]+ sampled cells have no embedding, first plate .P0., well .C07.",
        ),
    ],
)
def test_what_does_not_suffice_is_named(change: Any, options: dict[str, Any], error: Any, message: str) -> None:
    sample, x = screen()
    with pytest.raises(error, match=message) as caught:
        evaluate(sample[names.CELL_KEYS], x, change(sample), ProbeOptions(**{**SMALL, **options}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position_sd", [0.0, 2.0])
def test_the_well_position_effect_is_found_where_there_is_one(position_sd: float) -> None:
    rng = np.random.default_rng(0)
    wells, plates, cells = 8, 4, 6
    effect = rng.normal(0, position_sd, (wells + 2, 6))
    rows, values = [], []
    for plate in range(plates):
        shift = rng.normal(0, 1, 6)
        for well in range(wells + 2):  # two wells of another compound, in positions of their own
            task, compound = ("control", "NEG") if well < wells else ("control", f"POS{well}")
            noise = rng.normal(0, 0.3, 6)
            for cell in range(cells):
                rows.append(("strict", task, f"P{plate}", f"A{well + 1:02d}", "1", cell, compound, "test_ood_plate"))
                values.append(effect[well] + shift + noise + rng.normal(0, 1, 6))
    columns = ["protocol", "task", *names.CELL_KEYS, names.COMPOUND, "split"]
    sample = pd.DataFrame(rows, columns=columns).assign(order=range(len(rows)))
    x = np.array(values, np.float32)
    (row,) = well_position_table(sample[names.CELL_KEYS], x, sample, "NEG", ProbeOptions(**SMALL)).to_dict("records")
    assert row["source"] in LEAKAGE_EFFECTS and row["accuracy_without"] == pytest.approx(
        1 / 3
    )  # as many positions as compounds
    assert row["n_wells"] == 3 * plates and row["split"] == "test_ood_plate"
    assert (row["low"] > 0.2) if position_sd else (row["low"] <= 0 <= row["high"])
    two = sample[sample[names.PLATE].isin(["P0", "P1"])]
    assert well_position_table(sample[names.CELL_KEYS], x, two, "NEG").empty


def test_compounds_that_cells_are_missing_of_are_told(caplog: pytest.LogCaptureFixture) -> None:
    sample, _ = screen()
    options = ProbeOptions(**SMALL)
    split, compound = sample["split"], sample[names.COMPOUND]
    lost = (split == "train") & (compound == "J01") | (split == "test") & (compound == "J02")
    with caplog.at_level("WARNING"):
        plan_folds("control", options.protocol("strict"), labelled(sample[~lost], "control"), options)
        assert "1 compounds without train cells, so no fit can name them, first J01" in caplog.text
        assert "1 compounds without cells to score in quadrant test, whose accuracy is of the others, first J02" in (
            caplog.text
        )
        alone = (split == "test_ood_compound") & (compound == "J07") & (sample[names.PLATE] != "P0")
        plan_folds("heldout", options.protocol("strict"), labelled(sample[~alone], "heldout"), options)
        assert "without training cells in fold 0, whose fit cannot name them, first J07" in caplog.text
    caplog.clear()
    for task in ("control", "heldout"):
        plan_folds(task, options.protocol("strict"), labelled(sample, task), options)
    assert not caplog.records


def test_a_broken_embedding_is_named() -> None:
    sample, x = screen()
    x[sample.index[(sample[names.PLATE] == "P3") & (sample[names.WELL] == "B04")][2], 1] = np.nan
    with pytest.raises(DataError, match="1 sampled cells are not finite, first plate P3, well B04, site 1, nucleus 3"):
        evaluate(sample[names.CELL_KEYS], x, sample, ProbeOptions(**SMALL))


def test_twice_embedded_cells_are_refused() -> None:
    sample, x = screen()
    keys = pd.concat([sample[names.CELL_KEYS], sample[names.CELL_KEYS].iloc[:1]])
    with pytest.raises(DataError, match="plate P0, well B01, site 1, nucleus 1 is embedded twice"):
        evaluate(keys, np.concatenate([x, x[:1]]), sample, ProbeOptions(**SMALL))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_stratified_folds_are_those_of_scikit_learn(shuffle: bool, seed: int) -> None:
    from sklearn.model_selection import StratifiedKFold

    from campfire.evaluation.probes.folds import _stratified_folds

    generator = np.random.default_rng(seed)
    folds = int(generator.integers(2, 7))
    labels = np.repeat(generator.permutation(9), generator.integers(folds, 30, 9))
    if seed % 2:
        labels = generator.permutation(labels)
    splitter = StratifiedKFold(folds, shuffle=shuffle, random_state=seed if shuffle else None)
    expected = np.empty(len(labels), np.int64)
    for number, (_, rows) in enumerate(splitter.split(labels, labels)):
        expected[rows] = number
    found = _stratified_folds(labels, shuffle, ProbeOptions(folds=folds, subset_seed=seed))
    assert np.array_equal(found, expected)
