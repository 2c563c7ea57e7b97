"""The linear probes against the authors' recorded results and against a plain loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core import columns as names
from campfire.core.errors import ConfigError, DataError
from campfire.evaluation.probes import Fit, ProbeOptions, classification_scores, confusion, fit_linear, predict
from campfire.evaluation.probes.evaluate import evaluate

SPLITS = {
    "test_out_plate_": "test_ood_plate",
    "test_out_compound": "test_ood_compound",
    "test_out_all_": "test_ood_both",
}


@pytest.fixture(scope="module")
def official(shared: Path) -> tuple[Any, ...]:
    """(sample, embeddings) of the recorded tasks, shaped as campfire's tables; sample rows are in file order."""
    folder = shared / "data/official/probe"

    def read(task: Any, cells: int = 100) -> tuple[Any, ...]:
        table = pd.read_parquet(folder / f"{task}_embeddings.parquet")
        table = table[table["cell"] < cells].reset_index(drop=True)
        well = table["well_coords"] if "well_coords" in table else table["compound"] + table["split"]
        sample = pd.DataFrame(
            {
                "protocol": "release",
                "task": task,
                names.PLATE: table["plate"],
                names.WELL: well,
                names.SITE: "1",
                names.NUCLEUS: table["row_id"].astype("int32"),
                names.COMPOUND: table["compound"],
                "split": table["split"].replace(SPLITS),
                "order": np.arange(len(table)),
            }
        )
        return sample, table.filter(like="encoder.head_").to_numpy(np.float32)

    with open(folder / "results.json") as handle:
        return folder, json.load(handle), read


def run(read: Any, task: Any, cells: Any, **options: Any) -> Any:
    sample, embeddings = read(task, cells)
    order = np.random.default_rng(0).permutation(len(sample))  # rows are found by key, not by order
    keys = sample[names.CELL_KEYS].iloc[order]
    return evaluate(keys, embeddings[order], sample, ProbeOptions(variants=(), **options))


@pytest.mark.parametrize(
    ("name", "task", "cells"),
    [
        ("control", "control", 100),
        ("heldout10", "heldout", 10),
        pytest.param("heldout30", "heldout", 30, marks=pytest.mark.slow),
    ],
)
def test_release_protocol_gives_the_recorded_accuracies(
    official: tuple[Any, ...], name: str, task: str, cells: int
) -> None:
    _, results, read = official
    scores, predictions = run(read, task, cells)
    recorded = results[name]
    means = scores.groupby("split")["accuracy"].mean()
    splits = {"test": "test", "ood": "test_ood_plate"}
    if task == "heldout":
        splits = {"test": "test_ood_compound", "ood": "test_ood_both"}
    for theirs, ours in splits.items():
        assert abs(means[ours] - recorded["mean"][theirs]) < 2 * recorded["std_ddof0"][theirs]
    for fit, rows in scores.groupby("fit"):
        assert set(rows["n_train"]) == {recorded["train_rows"][fit]}
    epochs, best = scores["epochs"], scores["best_epoch"]
    assert ((epochs - best == 25) | (epochs == 100)).all() and epochs.min() > 25
    right = predictions["truth"] == predictions["predicted"]
    again = right.groupby([predictions["split"], predictions["fit"]]).mean()
    stated = scores.set_index(["split", "fit"])["accuracy"].sort_index()
    np.testing.assert_allclose(again.sort_index(), stated, atol=1e-12)


@pytest.mark.parametrize(("name", "task", "cells"), [("control", "control", 100), ("heldout10", "heldout", 10)])
def test_recorded_weights_give_the_recorded_accuracies_exactly(
    official: tuple[Any, ...], name: str, task: str, cells: int
) -> None:
    folder, results, read = official
    sample, embeddings = read(task, cells)
    labels = np.unique(sample[names.COMPOUND], return_inverse=True)[1]
    stored = np.load(folder / f"{name}_final_weights.npz")
    right = predict(embeddings, stored["weight"], stored["bias"]) == labels
    split = sample["split"].to_numpy()
    if task == "control":
        inside = [np.flatnonzero(split == "test")] * 10
        outside = np.flatnonzero(split == "test_ood_plate")
    else:
        folds = pd.read_parquet(folder / "heldout_folds.parquet")
        fold = pd.Series(folds["test_fold"].to_numpy(), index=folds["row_id"]).reindex(sample[names.NUCLEUS]).to_numpy()
        inside = [np.flatnonzero((split == "test_ood_compound") & (fold == i)) for i in range(5)]
        outside = np.flatnonzero(split == "test_ood_both")
    recorded = results[name]["per_run"]
    for i, rows in enumerate(inside):
        assert right[i, rows].mean() == pytest.approx(recorded["test"][i], abs=1e-12)
        assert right[i, outside].mean() == pytest.approx(recorded["ood"][i], abs=1e-12)
        scores = classification_scores(
            labels[outside], predict(embeddings[outside], stored["weight"][i], stored["bias"][i]), labels.max() + 1
        )
        assert scores["balanced_accuracy"] == pytest.approx(recorded["ood_bal"][i], abs=1e-12)


def test_subsets_and_folds_are_the_recorded_ones(official: tuple[Any, ...]) -> None:
    from campfire.evaluation.probes.folds import plan_folds

    folder, _, read = official
    sample, _ = read("control")
    sample["label"] = np.unique(sample[names.COMPOUND], return_inverse=True)[1]
    options = ProbeOptions()
    recorded = pd.read_parquet(folder / "control_train_subsets.parquet")
    for number, fit in enumerate(plan_folds("control", options.protocol("release"), sample, options).fits):
        mine = sample[names.NUCLEUS].to_numpy()[fit.train]
        assert mine.tolist() == recorded.loc[recorded["subset"] == number, "row_id"].tolist()
    sample, _ = read("heldout")
    sample["label"] = np.unique(sample[names.COMPOUND], return_inverse=True)[1]
    recorded = pd.read_parquet(folder / "heldout_folds.parquet")
    for protocol in ("release", "strict"):  # with equal cells per plate, whole plates are the release's folds
        layout = plan_folds("heldout", options.protocol(protocol), sample, options)
        for number, quadrants in enumerate(layout.scored):
            mine = sample[names.NUCLEUS].to_numpy()[quadrants["test_ood_compound"]]
            assert set(mine) == set(recorded.loc[recorded["test_fold"] == number, "row_id"])


def blobs(n: int = 400, dim: int = 12, classes: int = 4, seed: int = 0, spread: float = 2.0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    x = rng.normal(0, 1, (classes, dim))[labels] + rng.normal(0, spread, (n, dim))
    return x.astype(np.float32), labels


def plain_fit(x: Any, y: Any, fit: Any, classes: Any, options: Any) -> tuple[Any, ...]:
    """The same classifier in a plain torch loop, given the same start and the same order of rows."""
    import torch

    rng = np.random.default_rng(options.seed)
    bound = x.shape[1] ** -0.5
    start = rng.uniform(-bound, bound, (x.shape[1] + 1, classes)).astype(np.float32)
    layer = torch.nn.Linear(x.shape[1], classes)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start[:-1].T.copy()))
        layer.bias.copy_(torch.from_numpy(start[-1]))
    optimiser = torch.optim.AdamW(
        layer.parameters(), lr=options.learning_rate or 1e-3, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, options.step_size, options.gamma)
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    best, best_epoch, kept, history = -1, 0, None, []
    for epoch in range(1, options.epochs + 1):
        order = fit.train[rng.permutation(len(fit.train))]
        for rows in np.split(order, range(options.batch_size, len(order), options.batch_size)):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(features[rows]), labels[rows]).backward()
            optimiser.step()
        schedule.step()
        hits = int((layer(features[fit.monitor]).argmax(1) == labels[fit.monitor]).sum())
        history.append(hits / len(fit.monitor))
        if hits > best:
            best, best_epoch, kept = hits, epoch, layer.weight.detach().numpy().copy()
        elif epoch - best_epoch >= options.patience:
            break
    return layer.weight.detach().numpy(), kept, history, best_epoch


def test_equals_a_plain_torch_loop_step_by_step() -> None:
    x, y = blobs()
    fits = [Fit(np.arange(0, 300), np.arange(300, 400)), Fit(np.arange(100, 233), np.arange(0, 100))]
    options = ProbeOptions(epochs=40, patience=8, step_size=10)
    ours = fit_linear(x, y, fits, 4, options)
    for i, fit in enumerate(fits):
        last, best, history, best_epoch = plain_fit(x, y, fit, 4, options)
        assert (ours.epochs[i], ours.best_epoch[i]) == (len(history), best_epoch)
        np.testing.assert_allclose(ours.monitored[i], history, atol=1e-12)
        np.testing.assert_allclose(ours.last_weight[i], last, atol=2e-5)
        np.testing.assert_allclose(ours.best_weight[i], best, atol=2e-5)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("dim", [12, 900])  # the second is walked over in blocks
def test_fits_end_with_the_same_bytes_as_alone(dim: int, standardise: bool) -> None:
    """Also those that share a training because only their monitored rows differ."""
    x, y = blobs(dim=dim, classes=40 if dim > 100 else 4, spread=3)
    classes = int(y.max()) + 1
    fits = [
        Fit(np.arange(0, 200), np.arange(200, 400)),
        Fit(np.arange(100, 400), np.arange(0, 100)),
        Fit(np.arange(50, 350), np.arange(350, 400)),
        Fit(np.arange(0, 33), np.arange(200, 400)),
        Fit(np.arange(0, 200), np.arange(250, 300)),
        Fit(np.arange(0, 200), np.arange(0, 50)),
    ]
    options = ProbeOptions(epochs=25, patience=3, standardise=standardise)
    together = fit_linear(x, y, fits, classes, options)
    threaded = fit_linear(x, y, fits, classes, options.changed(threads=3))
    assert len(set(together.epochs.tolist())) > 1  # some leave the batch before others
    for i, fit in enumerate(fits):
        alone = fit_linear(x, y, [fit], classes, options)
        for field in ("last_weight", "last_bias", "best_weight", "best_bias", "epochs", "best_epoch"):
            assert np.array_equal(getattr(together, field)[i], getattr(alone, field)[0]), (field, i)
            assert np.array_equal(getattr(threaded, field)[i], getattr(alone, field)[0]), (field, i)


def test_fits_with_the_same_training_rows_are_trained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from campfire.evaluation.probes import trainer

    x, y = blobs()
    fits = [Fit(np.arange(0, 200), rows) for rows in (np.arange(200, 300), np.arange(300, 400))]
    epochs: list[int] = []
    plain = trainer.Trainer._epoch
    monkeypatch.setattr(trainer.Trainer, "_epoch", lambda t, rate: (epochs.append(len(t.lanes)), plain(t, rate)))
    found = fit_linear(x, y, fits, 4, ProbeOptions(epochs=25, patience=3))
    assert set(epochs) == {1} and len(epochs) == found.epochs.max() and found.epochs[0] != found.epochs[1]


def test_large_features_do_not_overflow_and_leave_others_alone() -> None:
    x, y = blobs()
    big = np.concatenate([x * 1e4, x])
    labels = np.concatenate([y, y])
    fits = [Fit(np.arange(0, 300), np.arange(300, 400)), Fit(np.arange(400, 700), np.arange(700, 800))]
    options = ProbeOptions(epochs=5)
    both = fit_linear(big, labels, fits, 4, options)
    assert np.isfinite(both.last_weight).all() and (both.monitored[0] > 0.25).all()
    alone = fit_linear(big, labels, fits[1:], 4, options)
    assert np.array_equal(both.last_weight[1], alone.last_weight[0])
    last, *_ = plain_fit(big, labels, fits[0], 4, options)
    np.testing.assert_allclose(both.last_weight[0], last, atol=1e-3)


def test_other_decay_rates_and_long_epochs() -> None:
    x, y = blobs(n=700)
    fit = Fit(np.arange(0, 600), np.arange(600, 700))
    options = ProbeOptions(epochs=3, batch_size=2, betas=[0.5, 0.8])  # moments are brought back within the epoch
    ours = fit_linear(x, y, [fit], 4, options)
    import torch

    plain, original = ProbeOptions(epochs=3, batch_size=2), torch.optim.AdamW
    try:
        torch.optim.AdamW = lambda *a, **k: original(*a, **k, betas=(0.5, 0.8))
        last, *_ = plain_fit(x, y, fit, 4, plain)
    finally:
        torch.optim.AdamW = original
    np.testing.assert_allclose(ours.last_weight[0], last, atol=5e-5)


def test_metrics_equal_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 6, 300), rng.integers(0, 8, 300)
    ours = classification_scores(truth, guess, 9)
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert ours["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, guess))
    assert ours["macro_f1"] == pytest.approx(metrics.f1_score(truth, guess, average="macro", zero_division=0))
    assert np.array_equal(confusion(truth, guess, 9)[:8, :8], metrics.confusion_matrix(truth, guess, labels=range(8)))
    assert np.isnan(classification_scores(truth[:0], guess[:0], 9)["accuracy"])


def test_bad_input_is_named() -> None:
    x, y = blobs()
    with pytest.raises(DataError, match="fit 0 has no early-stopping cells"):
        fit_linear(x, y, [Fit(np.arange(10), np.arange(0))], 4)
    with pytest.raises(DataError, match="not finite"):
        fit_linear(np.where(x > 3, np.nan, x), y, [Fit(np.arange(10), np.arange(10))], 4)
    with pytest.raises(ConfigError, match=r"probe.folds: 1 must be at least 2"):
        ProbeOptions(folds=1)
    for wrong in ({"overrides": {"strickt": {}}}, {"overrides": {"paper": {"folds": "wells"}}}):
        with pytest.raises(ConfigError, match=r"probe.overrides.(strickt|paper.folds)"):
            ProbeOptions(**wrong)
    with pytest.raises(ConfigError, match=r"probe.variants.0: 'scaled' is not one of"):
        ProbeOptions(variants=["scaled"])
    with pytest.raises(ConfigError, match=r"probe.learning_rate: 0"):
        ProbeOptions(learning_rate=0)
