"""Effects of sources of data leakage, and of other choices of the probe, on accuracy."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.probes.evaluate import gather, score
from campfire.evaluation.probes.folds import MOST_FOLDS, Plan, plan_folds
from campfire.evaluation.probes.linear import fit_linear, fit_probe
from campfire.evaluation.probes.options import Classifier, ProbeOptions, Protocol
from campfire.evaluation.probes.trainer import Fit
from campfire.evaluation.statistics import BootstrapOptions, paired_bootstrap

LEAKAGE_COLUMNS = [
    "task",
    "split",
    "source",
    "accuracy_with",
    "accuracy_without",
    "difference",
    "low",
    "high",
    "n_wells",
]

WELL_POSITION = "well_position"

LEAKAGE_EFFECTS = {
    "scored_fold_chooses_epoch": "the epoch is chosen on the fold that is scored, not on inner wells",
    "validation_cells_trained_on": "the inner wells are trained on as well (no leakage: what setting them aside costs)",
    "last_epoch": "the last epoch's weights are scored, not the best's (no leakage)",
    "plates_shared": "training plates are drawn for each compound separately, not shared by all",
    "wells_shared": "training and scored cells come from the same wells",
    WELL_POSITION: "wells of one treatment, the negative control, identified by their position alone, against chance",
    "standardised": "embeddings are standardised by training cells (no leakage: the release's probe depends on scale)",
    "converged": "logistic regression to convergence instead of the release's steps, on the same wells (no leakage)",
    "release_over_strict": "all leakage of protocol release together, with the release's classifier",
    "paper_over_strict": "all leakage of protocol paper together, with the release's classifier",
}
"""What each row compares. A row changes one thing, the last two everything; `well_position_table` has WELL_POSITION."""

PAIRS = {
    "control": {
        "last_epoch": (("subsets", "last"), ("subsets", "best")),
        "plates_shared": (("wells", "best"), ("plain", "best")),
        "standardised": (("standardised", "best"), ("subsets", "best")),
        "converged": (("converged", "best"), ("standardised", "best")),
    },
    "heldout": {
        "scored_fold_chooses_epoch": (("peeking", "best"), ("strict", "best")),
        "validation_cells_trained_on": (("plain", "best"), ("peeking", "best")),
        "last_epoch": (("plain", "last"), ("plain", "best")),
        "plates_shared": (("wells", "best"), ("plain", "best")),
        "wells_shared": (("rows", "best"), ("wells", "best")),
        "standardised": (("standardised", "best"), ("strict", "best")),
        "converged": (("converged", "best"), ("standardised", "best")),
        "release_over_strict": (("release", "last"), ("strict", "best")),
        "paper_over_strict": (("release", "best"), ("strict", "best")),
    },
}
"""For each task and row, the layout and weights with the change and without it."""


def leakage_table(
    keys: pd.DataFrame,
    embeddings: NDArray[np.float32],
    sample: pd.DataFrame,
    options: ProbeOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
) -> pd.DataFrame:
    """Accuracy with and without each source of leakage on the same cells, and the difference with its interval.

    sample: one protocol's rows of `sample/cells.parquet`; the same cells serve every row, so that only the layout of
    the fits differs. The control task stops on validation wells in every protocol; the leakage through its plates is
    quantified by cross-validation over all its ID wells: folds of whole plates against folds drawn for each compound.
    Returns `task, split, source, accuracy_with, accuracy_without, difference, low, high, n_wells`; `LEAKAGE_EFFECTS`
    explains each. Intervals are over wells.
    """
    options, bootstrap = options or ProbeOptions(), bootstrap or BootstrapOptions()
    rows = []
    for task, drawn in sample.groupby("task", sort=False):
        cells, features, compounds = gather(keys, embeddings, drawn)
        own = _with_folds(options, cells)
        arms = _heldout_arms(cells, own) if task == "heldout" else _control_arms(cells, own)
        guesses = _predictions(str(task), cells, features, compounds, arms, own)
        for source, (with_it, without) in PAIRS[str(task)].items():
            table = paired_bootstrap(guesses[with_it], guesses[without], bootstrap)
            rows.append(table[table["split"].isin(names.QUADRANTS)].assign(source=source))
    renamed = pd.concat(rows, ignore_index=True).rename(
        columns={"first": "accuracy_with", "second": "accuracy_without"}
    )
    return renamed[LEAKAGE_COLUMNS]


def _with_folds(options: ProbeOptions, cells: pd.DataFrame) -> ProbeOptions:
    """Options with the same number of folds for every layout of a task."""
    plates = cells.loc[cells["split"].isin(["test_ood_compound", "train", "val", "test"]), names.PLATE].nunique()
    return options if options.folds else options.changed(folds=max(2, min(MOST_FOLDS, plates)))


def _predictions(
    task: str,
    cells: pd.DataFrame,
    features: NDArray[np.float32],
    compounds: list[str],
    arms: Mapping[str, Plan],
    options: ProbeOptions,
) -> dict[tuple[str, str], pd.DataFrame]:
    """Predictions of the best and of the last weights of every layout."""
    labels, classes = cells["label"].to_numpy(), len(compounds)
    own = options.with_rate([len(fit.train) for arm in arms.values() for fit in arm.fits])  # one rate for every layout
    plain = [name for name in arms if name not in ("standardised", "converged")]
    every = fit_linear(features, labels, [f for name in plain for f in arms[name].fits], classes, own, False)
    fits, start = {}, 0
    for name in plain:
        fits[name] = every.part(start, start + len(arms[name].fits))
        start += len(arms[name].fits)
    for name in ("standardised", "converged"):
        classifier: Classifier = "logistic" if name == "converged" else "adamw"
        protocol = Protocol("best", "inner", "plate", classifier, standardise=True)
        fits[name] = fit_probe(features, labels, arms[name].fits, classes, protocol, own)
    guesses = {}
    for name, arm in arms.items():
        for which in ("best", "last"):
            _, table = score(cells, features, arm, fits[name], which, compounds)
            # One fit scores each cell of the ID plates, but another one where folds differ.
            crossed = task == "heldout" or name in ("plain", "wells")
            once = table["split"].isin(["test_ood_compound", "test"]) & crossed
            table["fit"] = table["fit"].where(~once, 0)
            guesses[name, which] = table.assign(protocol="", task=task)
    return guesses


def _layout(task: str, folds: str, cells: pd.DataFrame, options: ProbeOptions, monitor: str = "scored") -> Plan:
    return plan_folds(task, Protocol(weights="best", monitor=monitor, folds=folds), cells, options)  # type: ignore[arg-type]


def _heldout_arms(cells: pd.DataFrame, options: ProbeOptions) -> dict[str, Plan]:
    """Layouts of the held-out task, each differing from another in one respect."""
    strict = _layout("heldout", "plate", cells, options, monitor="inner")
    watching = [Fit(f.train, s["test_ood_compound"]) for f, s in zip(strict.fits, strict.scored, strict=True)]
    return {
        "strict": strict,
        "peeking": replace(strict, fits=watching),
        "plain": _layout("heldout", "plate", cells, options),
        # Folds of equal size: whole plates where these allow it, else some wells lie in two folds.
        "release": _layout("heldout", "rows", cells, options),
        "wells": _layout("heldout", "well", cells, options),
        "rows": _layout("heldout", "shuffled", cells, options),
        "standardised": strict,
        "converged": strict,
    }


def _control_arms(cells: pd.DataFrame, options: ProbeOptions) -> dict[str, Plan]:
    """The control task unchanged, and its ID wells cross-validated with the folds of the held-out task."""
    inside = cells["split"].isin(["train", "val", "test"])
    renamed = cells.assign(split=np.where(inside, "test_ood_compound", "test_ood_both"))
    arms = dict.fromkeys(("subsets", "standardised", "converged"), _layout("control", "plate", cells, options))
    for name, folds in (("plain", "plate"), ("wells", "well")):
        made = _layout("heldout", folds, renamed, options)
        scored: list[Mapping[str, NDArray[np.intp]]] = [
            {"test": s["test_ood_compound"], "test_ood_plate": s["test_ood_both"]} for s in made.scored
        ]
        arms[name] = replace(made, scored=scored)
    return arms
