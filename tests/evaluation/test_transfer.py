"""The transfer screen: sheet, head, well embeddings, Z'."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.core.errors import ConfigError, DataError, WeightsError
from campfire.evaluation import transfer
from campfire.evaluation.transfer import TransferOptions
from campfire.evaluation.transfer.sheet import has_control_groups
from campfire.evaluation.transfer.training import batches, triplet_loss

DIM = 24
SMALL = {"layers": (32, 8), "epochs": 30, "wells_per_batch": 16, "cells_per_well": 6, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def screen() -> tuple[Any, ...]:
    """Two M1 and two M2 plates; wells differ more in three nuisance directions than by treatment."""
    rng = np.random.default_rng(0)
    treatments = [("neg", "intergenic"), ("pos", "KO-pos"), *[("", f"KO-{i}") for i in range(4)]]
    effect = {name: rng.normal(0, 0.8, DIM) for _, name in treatments}
    nuisance = rng.normal(0, 1, (3, DIM))
    sheet, keys, values = [], [], []
    for plate in range(4):
        shift = rng.normal(0, 1, 3)
        for number, (control, treatment) in enumerate(treatments * 2 + treatments[:2] * 18):
            well = f"{'ABCD'[number // 12]}{number % 12 + 1:02d}"
            role = "train" if plate % 2 == 0 else "heldout"
            sheet.append(("s1", "b1", f"P{plate}", well, "M1" if plate < 2 else "M2", control, treatment, role))
            count = int(rng.integers(5, 20))
            keys += [(f"P{plate}", well, "1", i + 1) for i in range(count)]
            noise = (shift + rng.normal(0, 1.5, 3)) @ nuisance + rng.normal(0, 1, (count, DIM))
            values.append(effect[treatment] + 0.5 * (plate < 2) + noise)
    sheet = pd.DataFrame(sheet, columns=transfer.SHEET_COLUMNS)
    keys = pd.DataFrame(keys, columns=names.CELL_KEYS)
    return sheet, keys, np.concatenate(values).astype(np.float32)


def write(sheet: Any, path: Any) -> Any:
    sheet.to_csv(path, sep="\t", index=False)
    return path


def test_sheet_is_read_back(screen: tuple[Any, ...], tmp_path: Path) -> None:
    sheet = screen[0].sample(frac=1, random_state=0)
    read = transfer.read_sheet(write(sheet, tmp_path / "screen.tsv"))
    pd.testing.assert_frame_equal(read, screen[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="group"), "line 1: no column group"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "line 194: plate P0, well 'A01' occurs twice"),
        (lambda t: t.assign(**{names.WELL: t[names.WELL].replace("A02", "2A")}), "is no well name"),
        (lambda t: t.assign(control="negative"), "neither neg, pos nor empty"),
        (lambda t: t.assign(role="test"), "neither train nor heldout"),
        (lambda t: t.assign(group=""), "is empty for a control well"),
        (lambda t: t.assign(treatment=""), "name the gene or compound"),
        (lambda t: t.assign(role=["train", *t["role"][1:-1], "train"]), "wells of both roles"),
    ],
)
def test_unusable_sheets_are_explained(screen: tuple[Any, ...], tmp_path: Path, change: Any, message: str) -> None:
    path = write(change(screen[0]), tmp_path / "screen.tsv")
    with pytest.raises(ConfigError, match=message) as caught:
        transfer.read_sheet(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(role="train"), "no plate has role `heldout`.*transfer.head: null"),
        (lambda t: t.assign(treatment="same"), "1 treatments.*transfer.head: null"),
    ],
)
def test_sheets_too_small_for_a_head_still_serve_embedding(
    screen: tuple[Any, ...], tmp_path: Path, change: Any, message: str
) -> None:
    sheet = transfer.read_sheet(write(change(screen[0]), tmp_path / "screen.tsv"))
    with pytest.raises(ConfigError, match=message):
        transfer.check_trainable(sheet)
    with pytest.raises(ConfigError, match=message):
        transfer.train_head(screen[1], screen[2], sheet, TransferOptions(**SMALL))
    wells = transfer.embed_wells(None, screen[1], screen[2], sheet)
    rows = (screen[1][names.WELL_KEYS] == sheet.iloc[0][names.WELL_KEYS]).all(axis=1)
    np.testing.assert_allclose(wells["embedding"][0], screen[2][rows].mean(axis=0), rtol=1e-5)


def test_groups_of_one_well_get_no_zprime(screen: tuple[Any, ...], caplog: pytest.LogCaptureFixture) -> None:
    wells = transfer.embed_wells(None, screen[1], screen[2], screen[0])
    held = wells[(wells["role"] == "heldout") & (wells["control"] != "")]
    few = held.groupby(["group", "control"]).head(1)
    assert has_control_groups(screen[0])
    assert not has_control_groups(few)
    with pytest.raises(DataError, match="at least two wells"):
        transfer.control_zprime(few)
    one = pd.concat([held[held["group"] == "M1"], few[few["group"] == "M2"]])
    with caplog.at_level(logging.WARNING):
        found = transfer.control_zprime(one, TransferOptions(replicates=10))
    assert set(found["reference"]) == {"neg-M1", "pos-M1"}
    assert "neg-M2" in caplog.text


def test_absent_sheet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such transfer sheet"):
        transfer.read_sheet(tmp_path / "none.tsv")


def by_hand(means: Any, labels: Any, kind: Any, margin: Any) -> tuple[Any, ...]:
    """Triplet losses in plain loops."""
    distance = ((means[:, None] - means[None]) ** 2).sum(-1)
    terms = []
    for anchor in range(len(labels)):
        positives = [i for i in range(len(labels)) if i != anchor and labels[i] == labels[anchor]]
        negatives = [i for i in range(len(labels)) if labels[i] != labels[anchor]]
        if not positives or not negatives:
            continue
        if kind == "batch_hard":
            terms.append(distance[anchor, positives].max() - distance[anchor, negatives].min() + margin)
            continue
        for positive in positives:
            reach = distance[anchor, positive]
            if kind == "all":
                terms += [reach - distance[anchor, n] + margin for n in negatives]
                continue
            beyond = [distance[anchor, n] for n in negatives if distance[anchor, n] > reach]
            terms.append(reach - (min(beyond) if beyond else distance[anchor, negatives].max()) + margin)
    terms = np.maximum(terms, 0)
    return terms[terms > 0].mean() if kind == "all" else terms.mean(), (terms > 0).mean()


@pytest.mark.parametrize("kind", ["all", "batch_hard", "semi_hard"])
def test_triplet_losses_equal_plain_loops(kind: str) -> None:
    import torch

    rng = np.random.default_rng(1)
    means, labels = rng.normal(0, 0.4, (14, 5)), np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 0, 1])
    options = TransferOptions(loss=kind)
    loss, active = triplet_loss(torch.tensor(means), torch.tensor(labels), options)
    expected = by_hand(means, labels, kind, options.margin)
    assert (loss.item(), active.item()) == pytest.approx(expected, rel=1e-5)


def test_batches_hold_every_well_once_and_always_a_triplet() -> None:
    labels = np.repeat(np.arange(8), [40, 6, 5, 4, 2, 2, 1, 1])
    options = TransferOptions(wells_per_batch=10)
    for seed in range(20):
        packed = batches(labels, np.random.default_rng(seed), options)
        assert sorted(np.concatenate(packed)) == list(range(len(labels)))
        for wells in packed:
            counts = np.unique(labels[wells], return_counts=True)[1]
            assert len(counts) > 1 and counts.max() > 1


def test_head_separates_the_controls_of_held_out_plates(screen: tuple[Any, ...]) -> None:
    sheet, keys, embeddings = screen
    options = TransferOptions(**SMALL, replicates=100)
    head = transfer.train_head(keys, embeddings, sheet, options, device="cpu")
    assert head.history["loss"].iloc[-1] < 0.5 * head.history["loss"].iloc[0]

    def score(this: Any) -> tuple[Any, ...]:
        table = transfer.control_zprime(transfer.embed_wells(this, keys, embeddings, sheet), options)
        rows = table[(table["role"] == "heldout") & (table["method"] == "plain") & (table["reference"] == "neg-M1")]
        return table, rows.set_index("target")["zprime"]["pos-M1"]

    table, trained = score(head)
    assert trained > max(score(None)[1] + 0.5, 0)  # wells differ most by what no treatment shares
    assert set(table["role"]) == {"train", "heldout"} and set(table["method"]) == {"plain", "robust"}
    assert len(table) == 2 * 2 * 12
    assert (table["low"] <= table["high"]).all() and (table["n_reference"] == 20).all()


def test_held_out_plates_have_no_say(screen: tuple[Any, ...]) -> None:
    sheet, keys, embeddings = screen
    options = TransferOptions(**{**SMALL, "epochs": 2})
    first = transfer.train_head(keys, embeddings, sheet, options, device="cpu")
    held_out = keys[names.PLATE].isin(["P1", "P3"]).to_numpy()
    altered = np.where(held_out[:, None], 0, embeddings).astype(np.float32)
    second = transfer.train_head(keys, altered, sheet, options, device="cpu")
    for a, b in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(a, b)


def test_an_interrupted_run_ends_with_the_same_weights(
    screen: tuple[Any, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sheet, keys, embeddings = screen
    caplog.set_level(logging.INFO)
    whole = transfer.train_head(keys, embeddings, sheet, TransferOptions(**{**SMALL, "epochs": 6}), device="cpu")
    for epochs in (3, 6):
        options = TransferOptions(**{**SMALL, "epochs": epochs}, checkpoint_every=2)
        parts = transfer.train_head(keys, embeddings, sheet, options, tmp_path, device="cpu")
    assert "resuming after epoch 3" in caplog.text
    for a, b in zip(whole.weights, parts.weights, strict=True):
        assert np.array_equal(a, b)
    pd.testing.assert_frame_equal(whole.history, parts.history)
    other = TransferOptions(**{**SMALL, "epochs": 1}, seed=1)
    transfer.train_head(keys, embeddings, sheet, other, tmp_path, device="cpu")
    assert "also holds checkpoints of other options" in caplog.text
    caplog.clear()
    transfer.train_head(keys, embeddings, sheet, other, tmp_path, device="cpu", code="newer")
    assert "resuming" not in caplog.text
    for path in tmp_path.glob("*/*.ckpt"):
        path.write_bytes(b"not a checkpoint")
    transfer.train_head(keys, embeddings, sheet, other, tmp_path, device="cpu")
    assert "not a complete checkpoint" in caplog.text and "resuming" not in caplog.text


def test_saved_heads_and_well_means(screen: tuple[Any, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sheet, keys, embeddings = screen
    options = TransferOptions(**{**SMALL, "epochs": 1}, standardise=True, normalise=False)
    head = transfer.train_head(keys, embeddings, sheet, options, device="cpu")
    transfer.save_head(head, tmp_path / "head.safetensors", {"encoder": "x"})
    again = transfer.load_head(tmp_path / "head.safetensors")
    wells = transfer.embed_wells(again, keys, embeddings, sheet)
    pd.testing.assert_frame_equal(wells, transfer.embed_wells(head, keys, embeddings, sheet))
    pd.testing.assert_frame_equal(again.history, head.history)
    shuffled = np.random.default_rng(0).permutation(len(keys))
    row = wells.iloc[7]
    mine = ((keys[names.PLATE] == row[names.PLATE]) & (keys[names.WELL] == row[names.WELL])).to_numpy()
    np.testing.assert_allclose(row["embedding"], head.embed_cells(embeddings[mine]).mean(axis=0), atol=1e-5)
    moved = transfer.embed_wells(head, keys.iloc[shuffled], embeddings[shuffled], sheet).iloc[7]
    np.testing.assert_allclose(moved["embedding"], row["embedding"], atol=1e-5)
    assert row["n_cells"] == mine.sum()
    fewer = transfer.embed_wells(None, keys[~mine], embeddings[~mine], sheet)
    assert len(fewer) == len(wells) - 1 and "have no cells" in caplog.text


def test_named_errors(screen: tuple[Any, ...], tmp_path: Path) -> None:
    sheet, keys, embeddings = screen
    with pytest.raises(DataError, match="plate P0, well A01 has embeddings but is not in the transfer sheet"):
        transfer.embed_wells(None, keys, embeddings, sheet.iloc[1:])
    none = keys[names.PLATE].isin(["P1", "P3"]).to_numpy()
    with pytest.raises(DataError, match="0 wells of the training plates have cells"):
        transfer.train_head(keys[none], embeddings[none], sheet)
    with pytest.raises(ConfigError, match=r"transfer.head.loss: .hard. is not one of semi_hard, batch_hard, all"):
        TransferOptions(loss="hard")
    head = transfer.train_head(keys, embeddings, sheet, TransferOptions(**{**SMALL, "epochs": 1}))
    with pytest.raises(WeightsError, match="trained on 24 features"):
        head.embed_cells(embeddings[:, :5])
    with pytest.raises(WeightsError, match="no such head"):
        transfer.load_head(tmp_path / "none.safetensors")
