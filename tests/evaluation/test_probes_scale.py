"""Probes that no unit and no learning rate decides, and probes that say when they were not trained properly."""

import logging

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.probes import Fit, ProbeOptions, Protocol, fit_linear
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.probes.folds import plan_folds
from campfire.evaluation.probes.linear import fit_probe
from campfire.evaluation.probes.logistic import fit_logistic, standardisation

LOGISTIC = Protocol(weights="best", monitor="inner", folds="plate", classifier="logistic")


def blobs(
    n: int = 400, dim: int = 12, classes: int = 4, seed: int = 0, spread: float = 2.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    values = rng.normal(0, 1, (classes, dim))[labels] + rng.normal(0, spread, (n, dim))
    return values.astype(np.float32), labels


def screen(
    plates: int, cells: int, compounds: int = 6, dim: int = 8, signal: float = 2.0, seed: int = 0
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Half of the compounds held out; one well of each on every plate, the last two plates out of distribution."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(0, signal, (compounds, dim))
    rows, values = [], []
    for plate in range(plates):
        for compound in range(compounds):
            held_out = compound >= compounds // 2
            split = "test_ood_compound" if held_out else {0: "val", 1: "test"}.get((plate + compound) % 5, "train")
            if plate >= plates - 2:
                split = "test_ood_both" if held_out else "test_ood_plate"
            for cell in range(cells):
                key = (f"P{plate:02d}", f"B{compound + 1:02d}", "1", cell)
                rows.append(("release", "heldout" if held_out else "control", *key, f"J{compound}", split, len(rows)))
                values.append(effect[compound] + rng.normal(0, 1, dim))
    columns = ["protocol", "task", *names.CELL_KEYS, names.COMPOUND, "split", "order"]
    return pd.DataFrame(rows, columns=columns).astype({names.NUCLEUS: "int32"}), np.array(values, np.float32)


def labelled(sample: pd.DataFrame, task: str) -> pd.DataFrame:
    cells = sample[sample["task"] == task].reset_index(drop=True)
    return cells.assign(label=np.unique(cells[names.COMPOUND], return_inverse=True)[1])


@pytest.mark.parametrize(("n", "dim"), [(400, 12), (60, 200)])  # the second has fewer cells than dimensions
def test_logistic_regression_is_scikit_learns(n: int, dim: int) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = blobs(n, dim)
    fit = Fit(np.arange(0, n * 3 // 4), np.arange(n * 3 // 4, n))
    ours = fit_logistic(x, y, fit, 4, penalties=(0.1, 0.03, 0.01))
    scaled = (x[fit.train] - ours.centre) / ours.scale
    theirs = LogisticRegression(C=1 / (ours.penalty * len(fit.train)), tol=1e-9, max_iter=10000)
    theirs.fit(scaled, y[fit.train])
    for mine, other in ((ours.weight, theirs.coef_), (ours.bias, theirs.intercept_)):
        np.testing.assert_allclose(mine - mine.mean(axis=0), other - other.mean(axis=0), atol=3e-4)
    assert ours.converged


def test_units_do_not_matter_and_the_releases_probe_depends_on_them() -> None:
    x, y = blobs(spread=3.0)
    fits = [Fit(np.arange(0, 200), np.arange(200, 300), refit=refit) for refit in (False, True)]
    units = np.float32(2.0) ** np.arange(-6, 6)  # powers of two: no rounding
    shift = np.zeros(12, np.float32)
    for moved in (x * np.float32(0.125), x * units + shift):
        for plain, other in zip(*(fit_probe_all(v, y, fits) for v in (x, moved)), strict=True):
            np.testing.assert_array_equal(plain, other)
    tenth = [np.mean(a == b) for a, b in zip(*(fit_probe_all(v, y, fits) for v in (x, x / 10)), strict=True)]
    assert min(tenth) > 0.98
    release = [fit_linear(v, y, fits[:1], 4, ProbeOptions()).predict(0, v[300:], "last") for v in (x, x / 10)]
    assert np.mean(release[0] == release[1]) < 0.95


def fit_probe_all(
    x: NDArray[np.float32], y: NDArray[np.int64], fits: list[Fit], options: ProbeOptions | None = None
) -> list[NDArray[np.intp]]:
    found = fit_probe(x, y, fits, 4, LOGISTIC, options or ProbeOptions())
    return [found.predict(i, x[300:], "best") for i in range(len(fits))]


def test_no_learning_rate_matters() -> None:
    x, y = blobs()
    fits = [Fit(np.arange(0, 200), np.arange(200, 300))]
    slow, fast = (fit_probe_all(x, y, fits, ProbeOptions(learning_rate=rate, epochs=2)) for rate in (1e-6, 1.0))
    np.testing.assert_array_equal(slow[0], fast[0])


def test_a_strong_penalty_is_chosen_where_there_is_nothing_to_learn() -> None:
    x, y = blobs(400, 40)
    fit = Fit(np.arange(0, 200), np.arange(200, 300))
    noise = np.random.default_rng(1).permutation(y)
    assert fit_logistic(x, noise, fit, 4).penalty > 10 * fit_logistic(x, y, fit, 4).penalty


def test_constant_dimensions_and_large_offsets_do_no_harm() -> None:
    x, y = blobs()
    odd = np.concatenate([x, np.full((400, 1), 1e-9, np.float32), np.full((400, 1), 3e4, np.float32)], axis=1)
    odd[:, 0] += 1e3
    centre, scale = standardisation(odd)
    assert scale[-2:].tolist() == [1, 1] and np.isfinite(scale).all() and centre[-1] == pytest.approx(3e4)
    fits = [Fit(np.arange(0, 200), np.arange(200, 300))]
    plain, other = fit_probe_all(x, y, fits), fit_probe_all(odd, y, fits)
    assert np.mean(plain[0] == other[0]) > 0.97


def test_standardising_is_what_its_name_says_by_training_cells_alone() -> None:
    x, y = blobs(spread=3.0)
    x = x * np.float32(2.0) ** np.arange(-6, 6) + 5
    fits = [Fit(np.arange(0, 210), np.arange(300, 400)), Fit(np.arange(100, 233), np.arange(300, 400))]
    options = ProbeOptions(epochs=12, patience=4)
    both = fit_linear(x, y, fits, 4, options, standardise=True)
    threaded = fit_linear(x, y, fits, 4, ProbeOptions(epochs=12, patience=4, threads=2, standardise=True))
    for number, fit in enumerate(fits):
        rows = x[fit.train].astype(np.float64)
        scaled = ((x - rows.mean(axis=0)) / rows.std(axis=0)).astype(np.float32)
        alone = fit_linear(scaled, y, [fit], 4, options)
        np.testing.assert_allclose(both.last_weight[number], alone.last_weight[0], atol=1e-4)
        assert both.epochs[number] == alone.epochs[0]
        np.testing.assert_array_equal(both.predict(number, x, "best"), alone.predict(0, scaled, "best"))
        np.testing.assert_array_equal(threaded.last_weight[number], both.last_weight[number])
    outside = x.copy()
    outside[250:300] *= 100  # neither trained on nor watched
    again = fit_linear(outside, y, fits, 4, options, standardise=True)
    np.testing.assert_array_equal(again.last_weight, both.last_weight)


@pytest.mark.parametrize("protocol", ["release_logistic", "strict"])
def test_scored_cells_choose_no_penalty(protocol: str) -> None:
    """What a fit scores may hold anything: its classifier is the same."""
    sample, x = screen(7, 12, signal=0.5)
    options = ProbeOptions(folds=3)
    layouts = {**options.layouts("release"), **options.layouts("strict")}
    cells = labelled(sample, "heldout")
    features = x[(sample["task"] == "heldout").to_numpy()]
    labels = cells["label"].to_numpy()
    layout = plan_folds("heldout", layouts[protocol], cells, options)
    for fit, scored in zip(layout.fits, layout.scored, strict=True):
        left_out = np.concatenate(list(scored.values()))
        used = np.concatenate([fit.train, fit.monitor])
        assert fit.refit and not set(used) & set(left_out)
        wells = [set(map(tuple, cells.iloc[rows][names.WELL_KEYS].to_numpy())) for rows in (fit.train, fit.monitor)]
        assert not wells[0] & wells[1]  # the penalty is chosen on wells that were not trained on
        spoiled = features.copy()
        spoiled[left_out] = 1e3
        one, two = (fit_logistic(values, labels, fit, 3) for values in (features, spoiled))
        np.testing.assert_array_equal(one.weight, two.weight)


def test_variants_stand_beside_the_release_on_its_cells() -> None:
    sample, x = screen(7, 12)
    scores, predictions = evaluate(sample[names.CELL_KEYS], x, sample, ProbeOptions(subsets=2, folds=3, epochs=5))
    assert list(dict.fromkeys(scores["protocol"])) == ["release", "release_standardised", "release_logistic"]
    kinds = scores.groupby("protocol")["classifier"].unique().map(list).to_dict()
    assert kinds["release"] == ["adamw"] and kinds["release_standardised"] == ["adamw, standardised"]
    assert kinds["release_logistic"] == ["logistic"]
    columns = ["task", "fit", "split", *names.CELL_KEYS, "truth"]
    tables = [rows[columns].reset_index(drop=True) for _, rows in predictions.groupby("protocol", sort=False)]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], other)
    penalties = scores.set_index("protocol")["penalty"]
    assert penalties["release"].isna().all() and (penalties["release_logistic"] > 0).all()
    plain = evaluate(sample[names.CELL_KEYS], x, sample, ProbeOptions(subsets=2, folds=3, epochs=5, variants=()))[0]
    release = scores[scores["protocol"] == "release"].reset_index(drop=True)
    pd.testing.assert_frame_equal(plain, release)


def test_defaults_follow_the_size_and_are_the_papers_at_its_size() -> None:
    options = ProbeOptions()
    for cells, subsets in ((45, 1), (100, 3), (700, 10)):  # 3 training wells of each control
        sample, _ = screen(7, cells)
        layout = plan_folds("control", options.protocol("release"), labelled(sample, "control"), options)
        assert len(layout.fits) == subsets
    for wells, folds in ((5, 3), (9, 5)):
        cells = labelled(screen(wells, 5)[0], "heldout")
        assert len(plan_folds("heldout", options.protocol("strict"), cells, options).fits) == folds
    assert options.with_rate([1260] * 10).learning_rate == 1e-3  # the paper's control fits
    assert options.with_rate([1000] * 10).learning_rate == 1e-3
    assert options.with_rate([320]).learning_rate == pytest.approx(4e-3)
    assert options.with_rate([24]).learning_rate == 0.03
    assert ProbeOptions(learning_rate=0.5).with_rate([24]).learning_rate == 0.5


def test_a_fit_that_does_not_train_says_so(caplog: pytest.LogCaptureFixture) -> None:
    sample, x = screen(7, 3)
    with caplog.at_level(logging.WARNING):
        scores, _ = evaluate(sample[names.CELL_KEYS], x, sample, ProbeOptions(subsets=3, folds=3, variants=()))
    control = scores[scores["task"] == "control"]
    assert control["n_train_min"].eq(3).all()
    assert control["doubt"].str.contains("fewer than 10 training cells of a class").all()
    assert "probe release/control: 3 of 3 fits may not be trained properly: fewer than 10" in caplog.text
    caplog.clear()
    sample, x = screen(7, 40)
    slow = ProbeOptions(subsets=1, folds=3, epochs=4, learning_rate=1e-4, variants=())
    with caplog.at_level(logging.WARNING):
        scores, _ = evaluate(sample[names.CELL_KEYS], x, sample, slow)
    late = scores["best_epoch"] == scores["epochs"]
    assert late.any() and (scores.loc[late, "doubt"] == "training ended before its accuracy stopped rising").all()
    assert (scores.loc[~late, "doubt"] == "").all() and "accuracy stopped rising" in caplog.text


def test_separable_classes_of_a_small_screen_are_told_apart_by_default() -> None:
    sample, x = screen(7, 8, compounds=10, signal=3.0)
    scores, _ = evaluate(sample[names.CELL_KEYS], x, sample)
    means = scores.groupby(["protocol", "task"])["accuracy"].mean()
    assert means.min() > 0.9, means
