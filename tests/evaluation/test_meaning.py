"""What the scores mean: chance where there is nothing to find, and the sign that each effect must have."""

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.evaluation import transfer
from campfire.evaluation.probes import leakage_table
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.profiles.retrieval import replicate_retrieval
from campfire.evaluation.statistics import BootstrapOptions
from campfire.evaluation.zprime import METHODS, pairwise
from support.planted_screen import COMPOUNDS, DIM, OPTIONS, screen

CHANCE = 2 / COMPOUNDS


def relabelled(sample: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The wells of each plate and task exchange their compounds at random, their cells and splits stay."""
    rng = np.random.default_rng(seed)
    wells = sample.drop_duplicates(names.WELL_KEYS).set_index(names.WELL_KEYS)
    labels = wells[names.COMPOUND].astype(object)
    for _, group in wells.groupby([wells.index.get_level_values(0), "task"]):
        labels.loc[group.index] = rng.permutation(group[names.COMPOUND].to_numpy(object))
    found = labels.reindex(pd.MultiIndex.from_frame(sample[names.WELL_KEYS])).to_numpy()
    return sample.assign(**{names.COMPOUND: found})


def test_shuffled_compounds_give_chance_in_every_quadrant_and_protocol() -> None:
    true, shuffled = [], []
    for seed in range(4):
        sample, x = screen(seed)
        for labels, found in ((sample, true), (relabelled(sample, seed), shuffled)):
            every = pd.concat([labels.assign(protocol=name) for name in ("release", "paper", "strict")])
            scores = evaluate(sample[names.CELL_KEYS], x, every, OPTIONS)[0]
            found.append(scores.groupby(["protocol", "split"])["balanced_accuracy"].mean())
    assert pd.concat(true).groupby(level=[0, 1]).mean().min() > 2 * CHANCE
    np.testing.assert_allclose(pd.concat(shuffled).groupby(level=[0, 1]).mean(), CHANCE, atol=0.12)


def leaks(seeds: range, **effects: float) -> pd.Series:
    """Mean difference of each row and quadrant of table `leakage` over seeds."""
    tables = []
    for seed in seeds:
        sample, x = screen(seed, **effects)
        tables.append(leakage_table(sample[names.CELL_KEYS], x, sample, OPTIONS, BootstrapOptions(replicates=20)))
    return pd.concat(tables).groupby(["source", "split"])["difference"].mean()


def test_each_leak_is_positive_where_it_can_act() -> None:
    """Nothing but wells and plates differ: whoever scores above chance has seen the well, the plate or the answer."""
    found = leaks(range(3), signal=0.0, well_sd=3.0, plate_sd=3.0)
    assert found["wells_shared", "test_ood_compound"] > 0.1
    assert found["scored_fold_chooses_epoch", "test_ood_compound"] > 0.01
    assert abs(found["wells_shared", "test_ood_both"]) < 0.1  # no training well is among these


def test_no_leak_is_found_where_wells_and_plates_do_not_differ() -> None:
    found = leaks(range(3), signal=1.0, well_sd=0.0, plate_sd=0.0)
    for leak in ("wells_shared", "plates_shared"):
        assert found[leak].abs().max() < 0.06, leak


def test_wells_of_a_compound_are_nearer_than_others_only_where_it_acts() -> None:
    precision = {}
    for signal in (0.0, 1.0):
        sample, x = screen(0, signal=signal, plate_sd=0.0)
        grouped = pd.DataFrame(x).groupby([sample[name] for name in (*names.WELL_KEYS, names.COMPOUND)])
        means = grouped.mean()
        found = replicate_retrieval(means.index.to_frame(index=False), means.to_numpy(np.float32))
        precision[signal] = found["normalized_average_precision"].mean()
    assert abs(precision[0.0]) < 0.08 and precision[1.0] > 0.4


def test_two_equal_groups_have_no_assay_window() -> None:
    """Z' is 1 - 3 (SD + SD) / |difference of means|: far below 0 for equal groups, near 1 for groups far apart."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (60, 4)).astype(np.float32)
    labels = np.array(["neg-M1"] * 20 + ["neg-M2"] * 20 + ["pos-M1"] * 20, dtype=object)
    values[40:, 0] += 100
    table = pairwise(values, labels, METHODS, 0, 100, 0.95, 0).set_index(["reference", "target", "method"])["zprime"]
    table = table.sort_index()
    assert (table["neg-M1", "neg-M2"] < -1).all()
    assert (table["neg-M1", "pos-M1"] > 0.8).all() and (table["neg-M2", "pos-M1"] > 0.8).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_positives_within_a_group_keep_groups_apart(seed: int) -> None:
    """Donors differ as much as treatments: alike across donors they are merged, alike within one they are kept."""
    rng = np.random.default_rng(seed)
    treatments = {"none": "neg", "KO": "pos", "KO-1": "", "KO-2": ""}
    effect = {name: rng.normal(0, 1, DIM) for name in treatments}
    donor = rng.normal(0, 1, (2, DIM))
    sheet, keys, values = [], [], []
    for plate in range(4):
        for number, treatment in enumerate([*treatments] * 4):
            well, role = f"A{number + 1:02d}", "train" if plate % 2 == 0 else "heldout"
            sheet.append(("s", "b", f"P{plate}", well, f"M{plate // 2}", treatments[treatment], treatment, role))
            keys += [(f"P{plate}", well, "1", cell) for cell in range(6)]
            values.append(effect[treatment] + donor[plate // 2] + rng.normal(0, 0.7, (6, DIM)))
    table = pd.DataFrame(sheet, columns=transfer.SHEET_COLUMNS)
    cells, x = pd.DataFrame(keys, columns=names.CELL_KEYS), np.concatenate(values).astype(np.float32)
    between = {}
    for positives in ("treatment", "treatment_and_group"):
        options = transfer.TransferOptions(
            layers=(16, 8), epochs=40, wells_per_batch=16, cells_per_well=4, learning_rate=1e-3, positives=positives
        )
        head = transfer.train_head(cells, x, table, options)
        found = transfer.control_zprime(transfer.embed_wells(head, cells, x, table), options)
        found = found[(found["role"] == "heldout") & (found["method"] == METHODS[0])]
        pair = found.set_index(["reference", "target"])["zprime"]
        between[positives] = float(pair["neg-M0", "neg-M1"])
    assert between["treatment"] < min(0, between["treatment_and_group"])
