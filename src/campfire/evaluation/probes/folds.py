"""The rows on which each probe is trained, monitored and scored."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import SplitError
from campfire.core.random import keyed_generator
from campfire.evaluation.probes.options import ProbeOptions, Protocol
from campfire.evaluation.probes.trainer import Fit

logger = logging.getLogger(__name__)

Rows = NDArray[np.intp]

MOST_SUBSETS, SUBSET_CELLS = 10, 100
"""Number of subsets in the paper, and cells of the rarest class that each should have (the paper's have 140)."""
MOST_FOLDS = 5
"""Number of folds in the paper."""


@dataclass(frozen=True)
class Plan:
    """The fits of one protocol and task."""

    fits: list[Fit]
    scored: list[Mapping[str, Rows]]
    """For each fit, the rows to score by quadrant (a split name)."""


def plan_folds(task: str, protocol: Protocol, cells: pd.DataFrame, options: ProbeOptions) -> Plan:
    """Lay out the fits of `task`.

    cells: one row per cell in plate order, with the key columns, `split` and the integer column `label`.
    Raises SplitError when there are too few cells.
    """
    if task == "control":
        return control_plan(cells, options)
    if task == "heldout":
        return heldout_plan(cells, protocol, options)
    raise SplitError(f"probes: unknown task `{task}`; allowed: {', '.join(names.TASK_QUADRANTS)}")


def control_plan(cells: pd.DataFrame, options: ProbeOptions) -> Plan:
    """The control task: equal, class-stratified subsets of the train cells; monitor val; score test and test_ood_plate.

    Classes are taken in the order of their first appearance, each permuted and cut into equal parts, as in the
    release (with its generator, so that a seeded run of the release draws the same subsets).
    """
    split = cells["split"].to_numpy()
    train, val = np.flatnonzero(split == "train"), np.flatnonzero(split == "val")
    if len(train) == 0 or len(val) == 0:
        missing = "train" if len(train) == 0 else "val"
        raise SplitError(f"probes: the control task has no `{missing}` cells; check the split and sample tables")
    labels = cells["label"].to_numpy()[train]
    _tell_missing(cells, train, "train cells, so no fit can name them")
    scored = {name: np.flatnonzero(split == name) for name in names.TASK_QUADRANTS["control"]}
    for name, rows in scored.items():
        if len(rows):
            _tell_missing(cells, rows, f"cells to score in quadrant {name}, whose accuracy is of the others")
    generator = np.random.RandomState(options.subset_seed)
    fewest = int(np.bincount(labels)[np.unique(labels)].min())
    subsets = options.subsets or min(MOST_SUBSETS, max(1, fewest // SUBSET_CELLS))
    parts: list[list[Rows]] = [[] for _ in range(subsets)]
    for label in pd.unique(labels):
        rows = train[labels == label]
        if len(rows) < subsets:
            compound = cells[names.COMPOUND].iloc[rows[0]]
            raise SplitError(
                f"probes: control compound {compound} has {len(rows)} train cells, too few for {subsets} "
                "subsets; lower probe.subsets or sample more cells"
            )
        for part, piece in zip(parts, np.array_split(rows[generator.permutation(len(rows))], subsets), strict=True):
            part.append(piece)
    return Plan([Fit(np.concatenate(part), val) for part in parts], [scored] * subsets)


def _tell_missing(cells: pd.DataFrame, rows: Rows, what: str) -> None:
    """Warn about compounds of the task without a cell among `rows`."""
    absent = sorted(set(cells["label"]) - set(cells["label"].iloc[rows]))
    if absent:
        first = cells.loc[cells["label"] == absent[0], names.COMPOUND].iloc[0]
        logger.warning("probes: %d compounds without %s, first %s", len(absent), what, first)


def heldout_plan(cells: pd.DataFrame, protocol: Protocol, options: ProbeOptions) -> Plan:
    """The held-out task: folds over ID plates; score the left-out fold and the OOD plates."""
    split = cells["split"].to_numpy()
    inside, outside = np.flatnonzero(split == "test_ood_compound"), np.flatnonzero(split == "test_ood_both")
    if len(inside) == 0:
        raise SplitError(
            "probes: the held-out task has no `test_ood_compound` cells; check the split and sample tables"
        )
    held_out = cells.iloc[inside]
    if options.folds is None:
        options = options.changed(folds=_default_folds(held_out, protocol))
    folds = options.folds or MOST_FOLDS
    if protocol.folds == "plate":
        fold = _plate_folds(held_out, options)
    elif protocol.folds == "well":
        fold = _well_folds(held_out, options)
    else:
        fold = _stratified_folds(held_out["label"].to_numpy(), protocol.folds == "shuffled", options)
    fits: list[Fit] = []
    scored: list[Mapping[str, Rows]] = []
    for number in range(folds):
        left_out, rest = inside[fold == number], inside[fold != number]
        _tell_missing(cells, rest, f"training cells in fold {number}, whose fit cannot name them")
        # The penalty must not be chosen on the scored fold, even if the release stops early on it.
        if protocol.monitor == "inner" or protocol.classifier == "logistic":
            watched = _inner_wells(cells.iloc[rest], number, options)
            fits.append(Fit(rest[~watched], rest[watched], refit=protocol.classifier == "logistic"))
        else:
            fits.append(Fit(rest, left_out))
        scored.append({"test_ood_compound": left_out, "test_ood_both": outside})
    return Plan(fits, scored)


def _default_folds(cells: pd.DataFrame, protocol: Protocol) -> int:
    """The paper's number of folds, or fewer where plates (or the rarest compound's cells or wells) require it."""
    if protocol.folds == "plate":
        most = cells[names.PLATE].nunique()
    elif protocol.folds == "well":
        most = int(cells.drop_duplicates([*names.WELL_KEYS, "label"]).groupby("label").size().min())
    else:
        most = int(cells.groupby("label").size().min())
    return max(2, min(MOST_FOLDS, most))


def _stratified_folds(labels: NDArray[np.integer[Any]], shuffle: bool, options: ProbeOptions) -> NDArray[np.int64]:
    """Fold number of each row, stratified by compound.

    The folds of scikit-learn's StratifiedKFold, which the release uses (a test compares them). Written out because
    importing scikit-learn takes a second, longer than the fits of a small screen.
    """
    fewest, folds = int(np.bincount(labels)[np.unique(labels)].min()), options.folds or MOST_FOLDS
    if fewest < folds:
        raise SplitError(
            f"probes: a held-out compound has {fewest} cells on ID plates, too few for {folds} folds; "
            "lower probe.folds or sample more cells"
        )
    generator = np.random.RandomState(options.subset_seed)  # the draws of the release
    fold, start = np.empty(len(labels), np.int64), 0
    for label in pd.unique(labels):
        rows = np.flatnonzero(labels == label)
        # Folds take turns from one compound to the next, so that none gets all the remainders.
        numbers = np.sort(np.arange(start, start + len(rows)) % folds)
        if shuffle:
            generator.shuffle(numbers)
        fold[rows], start = numbers, start + len(rows)
    return fold


def _plate_folds(cells: pd.DataFrame, options: ProbeOptions) -> NDArray[np.int64]:
    """Fold number of each row; a fold is a run of whole plates in the order of their names.

    With as many cells of every compound on every plate these are the release's folds.
    """
    plates, folds = np.unique(cells[names.PLATE]), options.folds or MOST_FOLDS
    if len(plates) < folds:
        raise SplitError(
            f"probes: {len(plates)} ID plates carry held-out compounds, too few for {folds} folds of whole "
            "plates; lower probe.folds or add plates"
        )
    number = {plate: i for i, part in enumerate(np.array_split(plates, folds)) for plate in part}
    return cells[names.PLATE].map(number).to_numpy(np.int64)


def _well_folds(cells: pd.DataFrame, options: ProbeOptions) -> NDArray[np.int64]:
    """Fold number of each row; each compound's wells are distributed at random, so folds share plates."""
    wells = cells[[*names.WELL_KEYS, "label"]].drop_duplicates().sort_values(["label", *names.WELL_KEYS])
    generator, folds = keyed_generator(options.subset_seed), options.folds or MOST_FOLDS
    wells["fold"] = np.concatenate([generator.permutation(len(g)) % folds for _, g in wells.groupby("label")])
    fold = wells.set_index(names.WELL_KEYS)["fold"]
    return fold.reindex(pd.MultiIndex.from_frame(cells[names.WELL_KEYS])).to_numpy(np.int64)


def _inner_wells(cells: pd.DataFrame, fold: int, options: ProbeOptions) -> NDArray[np.bool_]:
    """Rows of the wells that early stopping monitors: a share of each compound's wells, at least one, never all."""
    wells = cells[[*names.WELL_KEYS, "label"]].drop_duplicates().sort_values(["label", *names.WELL_KEYS])
    generator = keyed_generator(options.subset_seed, fold)
    chosen = []
    for _, group in wells.groupby("label", sort=True):
        count = min(max(1, round(options.inner_fraction * len(group))), len(group) - 1)
        chosen.append(group.iloc[np.sort(generator.permutation(len(group))[:count])])
    picked = pd.MultiIndex.from_frame(pd.concat(chosen)[names.WELL_KEYS])
    if len(picked) == 0:
        raise SplitError(
            "probes: the epoch or the penalty is chosen on training wells set aside, but no compound has two training "
            "wells; add plates, or leave out the protocols and probe.variants that need them (strict, logistic)"
        )
    return pd.MultiIndex.from_frame(cells[names.WELL_KEYS]).isin(picked)
