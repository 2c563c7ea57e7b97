"""Effects planted in embeddings appear in the scores that claim to measure them, and in no other."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation import transfer
from campfire.evaluation.probes import leakage_table
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.profiles.normalise import normalise
from campfire.evaluation.profiles.retrieval import replicate_retrieval
from campfire.evaluation.statistics import MEAN, BootstrapOptions, bootstrap_accuracy, ood_gaps, paired_bootstrap
from campfire.evaluation.well_means import well_means
from campfire.evaluation.zprime import METHODS
from support.planted_screen import CELLS, DIM, OPTIONS, Embedded, screen

Floats = NDArray[np.float32]
FEW = BootstrapOptions(replicates=200)
CHANCE = 1 / 4
"""Four compounds in each task."""
INSIDE, OUTSIDE = ("test", "test_ood_compound"), ("test_ood_plate", "test_ood_both")


def predictions(sample: pd.DataFrame, x: Floats) -> pd.DataFrame:
    return evaluate(sample[names.CELL_KEYS], x, sample, OPTIONS)[1]


def accuracies(sample: pd.DataFrame, x: Floats) -> pd.DataFrame:
    return bootstrap_accuracy(predictions(sample, x), FEW).set_index("split")


def test_a_shift_of_the_ood_plates_lowers_their_quadrants_alone() -> None:
    """Stain and exposure of OOD plates differ by what tells compounds apart; ID plates stay as they are."""
    sample, x = screen(0, signal=2.0, plate_sd=0.2)
    outside = sample[names.PLATE].isin(["P7", "P8", "P9"]).to_numpy()
    mirrored = np.where(outside[:, None], -x, x)
    before, after = predictions(sample, x), predictions(sample, mirrored)
    one, two = (bootstrap_accuracy(table, FEW).set_index("split")["value"] for table in (before, after))
    assert (one > 0.7).all()
    for split in INSIDE:
        assert one[split] == two[split]
    for split in OUTSIDE:
        assert two[split] < one[split] - 0.4
    gaps = ood_gaps(after, FEW)
    assert (gaps["gap"] > 0.4).all() and (gaps["low_plates"] > 0).all()
    assert ood_gaps(before, FEW)["gap"].abs().max() < 0.2


def test_permuted_embeddings_are_at_chance_within_their_interval() -> None:
    """An embedding that belongs to another cell: 95 % intervals over wells contain 1 / K in most of 24 quadrants."""
    inside = []
    for seed in range(6):
        sample, x = screen(seed, signal=2.0)
        table = accuracies(sample, np.random.default_rng(seed).permutation(x)).drop(index=MEAN)
        inside += ((table["low"] <= CHANCE) & (table["high"] >= CHANCE)).tolist()
    assert len(inside) == 24 and sum(inside) >= 20


def two_channels(seed: int, second: str = "other") -> tuple[pd.DataFrame, Floats, Floats]:
    """A screen and one embedding per channel; each compound is a pair of traits, of which a channel shows one.

    second: the second channel shows the other trait, the `same` one, or `nothing`.
    """
    sample, noise = screen(seed, signal=0.0, plate_sd=0.2, well_sd=0.3)
    number = sample[names.COMPOUND].str[1:].astype(int).to_numpy() % 4
    traits = np.stack([number % 2, number // 2], axis=1) * 2.0 - 1
    shown = {"other": traits[:, 1], "same": traits[:, 0], "nothing": np.zeros(len(traits))}[second]
    channels = [noise[:, :4] * 0.5, noise[:, 4:] * 0.5]
    for part, trait in zip(channels, (traits[:, 0], shown), strict=True):
        part[:, 0] += 2 * trait
    return sample, channels[0], channels[1]


@pytest.mark.parametrize(("second", "gains"), [("other", True), ("same", False), ("nothing", False)])
def test_a_second_channel_helps_where_it_adds_what_the_first_lacks(second: str, gains: bool) -> None:
    """Neither channel names more than half of the compounds; two names of different traits together name all."""
    differences = []
    for seed in range(3):
        sample, first, other = two_channels(seed, second)
        both = np.concatenate([first, other], axis=1)
        alone, together = predictions(sample, first), predictions(sample, both)
        row = paired_bootstrap(together, alone, FEW).set_index("split").loc[MEAN]
        assert row["second"] < 0.62
        assert (row["low"] > 0 and row["low_plates"] > 0) == gains
        differences.append(row["difference"])
    assert np.mean(differences) > 0.3 if gains else abs(np.mean(differences)) < 0.05


def test_an_encoder_blind_to_a_channel_gains_nothing_from_it() -> None:
    """The unseen channel tells compounds apart, but this encoder's embedding does not depend on it."""
    sample, first, _ = two_channels(0)
    row = paired_bootstrap(predictions(sample, first.copy()), predictions(sample, first), FEW)
    assert (row["difference"] == 0).all() and (row["high"] == 0).all() and (row["p_plates"] == 1).all()


def plate_by_compound(seed: int, effect: float) -> Embedded:
    """Two wells of each compound on each plate, alike in what this plate does to this compound and in nothing else."""
    rng = np.random.default_rng(seed)
    sample, x = screen(seed, signal=0.0, well_sd=0.0, plate_sd=0.0)
    copy = sample.assign(**{names.WELL: sample[names.WELL].str.replace("B", "C")})
    pairs = sample.groupby([names.PLATE, names.COMPOUND]).ngroup().to_numpy()
    shared = rng.normal(0, effect, (pairs.max() + 1, DIM))[pairs]
    values = np.concatenate([x + shared, rng.normal(0, 1, x.shape) + shared]).astype(np.float32)
    both = pd.concat([sample, copy], ignore_index=True)
    return both.assign(order=np.arange(len(both))), values


def test_a_plate_effect_is_leakage_and_vanishes_in_strict() -> None:
    """What a plate does to a compound is known only to fits that were trained on other wells of the plate."""
    shared, strict = [], []
    for seed in range(3):
        sample, x = plate_by_compound(seed, 2.0)
        table = leakage_table(sample[names.CELL_KEYS], x, sample, OPTIONS, BootstrapOptions(replicates=20))
        shared.append(table[table["source"] == "plates_shared"].set_index("split")["difference"])
        strict.append(accuracies(sample, x)["value"])
    found = pd.concat(shared).groupby(level=0).mean()
    assert found["test_ood_compound"] > 0.1
    assert abs(found["test_ood_both"]) < 0.05  # no fit was trained on an OOD plate
    np.testing.assert_allclose(pd.concat(strict).groupby(level=0).mean(), CHANCE, atol=0.1)


def test_all_leakage_together_is_the_release_against_strict() -> None:
    """Seven plates make no five equal folds: the release's cut wells in two, which counts as leakage as well."""
    sample, x = screen(0, signal=0.0, well_sd=3.0)
    held_out = sample[sample["task"] == "heldout"]
    options = OPTIONS.changed(folds=5)
    table = leakage_table(sample[names.CELL_KEYS], x, held_out, options, BootstrapOptions(replicates=20))
    whole = table[table["split"] == "test_ood_compound"].set_index("source")["accuracy_with"]
    for protocol in ("release", "paper"):
        guesses = evaluate(sample[names.CELL_KEYS], x, held_out.assign(protocol=protocol), options)[1]
        inside = guesses[guesses["split"] == "test_ood_compound"]
        assert whole[f"{protocol}_over_strict"] == pytest.approx((inside["truth"] == inside["predicted"]).mean())
    assert whole["release_over_strict"] > CHANCE + 0.05


@pytest.mark.parametrize("signal", [0.0, 2.0])
def test_replicates_are_found_across_plates_once_plates_are_normalised(signal: float) -> None:
    """Wells of one plate look alike: this hides replicates on other plates, and never counts as one."""
    sample, x = screen(1, signal=signal, well_sd=0.2, plate_sd=4.0)
    control = (sample[names.COMPOUND] == "J0").to_numpy()
    precision = {}
    for representation in ("raw", "sphered"):
        values = normalise(sample, x, control, representation, shrinkage=0.1)  # type: ignore[arg-type]
        wells, means = well_means(sample, values)
        wells = wells.merge(sample.drop_duplicates(names.WELL_KEYS)[[*names.WELL_KEYS, names.COMPOUND]])
        treated = (wells[names.COMPOUND] != "J0").to_numpy()
        found = replicate_retrieval(wells[treated].reset_index(drop=True), means[treated])
        precision[representation] = found["normalized_average_precision"].mean()
    assert precision["raw"] < 0.1
    assert precision["sphered"] > 0.4 if signal else abs(precision["sphered"]) < 0.1


def transfer_screen(seed: int, effect: float) -> tuple[pd.DataFrame, pd.DataFrame, Floats]:
    """Two training and two held-out plates; positive control and knock-outs differ from the negative by `effect`."""
    rng = np.random.default_rng(seed)
    treatments = {"none": "neg", "KO": "pos", "KO-1": "", "KO-2": ""}
    centres = {name: rng.normal(0, effect, DIM) if name != "none" else np.zeros(DIM) for name in treatments}
    sheet, keys, values = [], [], []
    for plate in range(4):
        for number, treatment in enumerate([*treatments] * 8):
            well, role = f"A{number + 1:02d}", "train" if plate < 2 else "heldout"
            sheet.append(("s", "b", f"P{plate}", well, "M1", treatments[treatment], treatment, role))
            keys += [(f"P{plate}", well, "1", cell) for cell in range(CELLS)]
            values.append(centres[treatment] + rng.normal(0, 0.3, DIM) + rng.normal(0, 0.7, (CELLS, DIM)))
    table = pd.DataFrame(sheet, columns=transfer.SHEET_COLUMNS)
    return table, pd.DataFrame(keys, columns=names.CELL_KEYS), np.concatenate(values).astype(np.float32)


@pytest.mark.parametrize(("effect", "window"), [(3.0, True), (0.0, False)])
def test_a_head_opens_a_window_where_controls_differ_and_none_where_they_do_not(effect: float, window: bool) -> None:
    """Whatever the head makes of its own plates, those held out show whether it means anything."""
    sheet, keys, x = transfer_screen(0, effect)
    options = transfer.TransferOptions(
        layers=(16, 8), epochs=40, wells_per_batch=16, cells_per_well=4, learning_rate=1e-3, replicates=50
    )
    head = transfer.train_head(keys, x, sheet, options, device="cpu")
    found = transfer.control_zprime(transfer.embed_wells(head, keys, x, sheet), options)
    pair = found[(found["reference"] == "neg-M1") & (found["target"] == "pos-M1") & (found["method"] == METHODS[0])]
    held_out = pair.set_index("role").loc["heldout"]
    assert held_out["zprime"] > 0.3 and held_out["low"] > 0 if window else held_out["high"] < -1
