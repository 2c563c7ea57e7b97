"""What each leak of the evaluation is worth, in accuracy."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.probes.evaluate import gather, score
from campfire.evaluation.probes.folds import Plan, plan
from campfire.evaluation.probes.linear import LinearFits, fit_linear
from campfire.evaluation.probes.options import ProbeOptions, Protocol
from campfire.evaluation.probes.trainer import Fit
from campfire.evaluation.statistics import BootstrapOptions, paired_bootstrap

LEAK_COLUMNS = ["task", "split", "leak", "with_leak", "without", "difference", "low", "high", "n_wells"]

LEAKS = {
    "scored_fold_chooses_epoch": "the epoch is chosen on the fold that is scored, not on inner wells",
    "validation_cells_trained_on": "the inner wells are trained on as well (no leak: the price of having them)",
    "last_epoch": "the last epoch's weights are scored, not the best's (no leak)",
    "plates_shared": "each compound has training plates of its own, not the same for all",
    "wells_shared": "training and scored cells come from the same wells",
    "place": "wells of one treatment, the negative control, told apart by their place alone, against chance",
    "release_over_strict": "protocol release, all its leaks together",
    "paper_over_strict": "protocol paper, all its leaks together",
}
"""What is compared in each row; each row changes one thing, the last two all at once; `place` is `place_table`'s."""


def leak_table(
    keys: pd.DataFrame,
    embeddings: NDArray[np.float32],
    sample: pd.DataFrame,
    options: ProbeOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
) -> pd.DataFrame:
    """Accuracy with and without each leak, on the same cells, with the interval of the difference over wells.

    sample: one protocol's rows of `sample/cells.parquet`; the same cells serve every row, so that only the layout of
    the fits differs. The control task stops on validation wells in every protocol; what its plates leak is priced by
    cross-validation over all its ID wells, with folds of whole plates against folds drawn for each compound.
    Returns `task, split, leak, with_leak, without, difference, low, high, n_wells`; `LEAKS` says what each is.
    """
    options, bootstrap = options or ProbeOptions(), bootstrap or BootstrapOptions()
    rows = []
    for task, drawn in sample.groupby("task", sort=False):
        cells, features, compounds = gather(keys, embeddings, drawn)
        arms = _heldout_arms(cells, options) if task == "heldout" else _control_arms(cells, options)
        labels = cells["label"].to_numpy()
        fits = fit_linear(features, labels, [f for arm in arms.values() for f in arm.fits], len(compounds), options)
        guesses, start = {}, 0
        for name, arm in arms.items():
            part = _slice(fits, start, start + len(arm.fits))
            start += len(arm.fits)
            for which in ("best", "last"):
                _, table = score(cells, features, arm, part, *part.weights(which), compounds)
                # A cell of the ID plates is scored by one fit, but by another one where folds differ.
                crossed = task == "heldout" or name != "subsets"
                own = table["split"].isin(["test_ood_compound", "test"]) & crossed
                table["fit"] = table["fit"].where(~own, 0)
                guesses[name, which] = table.assign(protocol="", task=str(task))
        pairs = {
            "last_epoch": (("subsets", "last"), ("subsets", "best")),
            "plates_shared": (("wells", "best"), ("plain", "best")),
        }
        if task == "heldout":
            pairs = {
                "scored_fold_chooses_epoch": (("peeking", "best"), ("strict", "best")),
                "validation_cells_trained_on": (("plain", "best"), ("peeking", "best")),
                "last_epoch": (("plain", "last"), ("plain", "best")),
                "plates_shared": (("wells", "best"), ("plain", "best")),
                "wells_shared": (("rows", "best"), ("wells", "best")),
                "release_over_strict": (("plain", "last"), ("strict", "best")),
                "paper_over_strict": (("plain", "best"), ("strict", "best")),
            }
        for leak, (with_it, without) in pairs.items():
            table = paired_bootstrap(guesses[with_it], guesses[without], bootstrap)
            rows.append(table[table["split"].isin(names.QUADRANTS)].assign(leak=leak))
    renamed = pd.concat(rows, ignore_index=True).rename(columns={"first": "with_leak", "second": "without"})
    return renamed[LEAK_COLUMNS]


def _layout(task: str, folds: str, cells: pd.DataFrame, options: ProbeOptions, monitor: str = "scored") -> Plan:
    return plan(task, Protocol(weights="best", monitor=monitor, folds=folds), cells, options)  # type: ignore[arg-type]


def _heldout_arms(cells: pd.DataFrame, options: ProbeOptions) -> dict[str, Plan]:
    """Layouts that differ from one another in one respect each."""
    strict = _layout("heldout", "plate", cells, options, monitor="inner")
    watching = [Fit(f.train, s["test_ood_compound"]) for f, s in zip(strict.fits, strict.scored, strict=True)]
    return {
        "strict": strict,
        "peeking": replace(strict, fits=watching),
        "plain": _layout("heldout", "plate", cells, options),
        "wells": _layout("heldout", "well", cells, options),
        "rows": _layout("heldout", "shuffled", cells, options),
    }


def _control_arms(cells: pd.DataFrame, options: ProbeOptions) -> dict[str, Plan]:
    """The control task as it is, and its ID wells cross-validated with the folds of the held-out task."""
    inside = cells["split"].isin(["train", "val", "test"])
    renamed = cells.assign(split=np.where(inside, "test_ood_compound", "test_ood_both"))
    arms = {"subsets": _layout("control", "plate", cells, options)}
    for name, folds in (("plain", "plate"), ("wells", "well")):
        made = _layout("heldout", folds, renamed, options)
        scored: list[Mapping[str, NDArray[np.intp]]] = [
            {"test": s["test_ood_compound"], "test_ood_plate": s["test_ood_both"]} for s in made.scored
        ]
        arms[name] = replace(made, scored=scored)
    return arms


def _slice(fits: LinearFits, start: int, stop: int) -> LinearFits:
    return LinearFits(**{name: value[start:stop] for name, value in vars(fits).items()})
