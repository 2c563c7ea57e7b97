"""One table of all profile metrics that complement the paper's accuracies."""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.evaluation.cells import check_finite
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.probes.evaluate import evaluate, gather
from campfire.evaluation.probes.folds import plan_folds
from campfire.evaluation.profiles.graded import graded_retrieval, layout_leak
from campfire.evaluation.profiles.normalise import normalise
from campfire.evaluation.profiles.options import ProfileOptions
from campfire.evaluation.profiles.precision import reach_over_plates, within
from campfire.evaluation.profiles.retrieval import (
    REPLICATES,
    knn_predict,
    logistic_predict,
    replicate_retrieval,
    untied,
)
from campfire.evaluation.profiles.variance import variance_shares
from campfire.evaluation.statistics import MEAN, BootstrapOptions, bootstrap_accuracy
from campfire.evaluation.well_means import well_means

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Classifier = Callable[[Floats, NDArray[np.int64], Floats], NDArray[np.intp]]
"""Training rows (N, D), their classes (N,), rows to classify (M, D) -> (M,) classes."""

SUMMARY_COLUMNS = ["protocol", "task", "split", "metric", "representation", "level", "value", "low", "high"]


def profile_summary(
    keys: pd.DataFrame,
    embeddings: Floats,
    sample: pd.DataFrame,
    options: ProfileOptions | None = None,
    probe: ProbeOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
    wells: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """k-NN and probe of cells and wells, replicate retrieval, layout leak and variance shares, with intervals.

    keys, embeddings (N, D), sample (all tasks of a protocol): as for `probes.evaluate`. wells: `split/wells.parquet`,
    which has the batch of each plate and all wells of the negative control: plates are normalised by all embedded cells
    of these wells, or without it by the sampled ones only. The sample has one control well of an ID plate, whose own
    deviation then affects the whole plate; `split.reference_wells` adds wells that are not probed. The negative control
    is not a class here: normalisation would put it at the origin, scored wells included, and reveal it. A plate with
    fewer than two of its cells is left out of every representation, with a warning, where any of them needs controls.
    Intervals are over wells, those of retrieval over plates (none for fewer than three).
    Returns one row per `protocol, task, split, metric, representation, level`: metric is `probe_accuracy`,
    `probe_balanced_accuracy`, `knn_accuracy`, `map`, `map_normalized`, `graded_<grade>` (split empty: the wells of the
    task's quadrants together), `layout_leak` (task and split empty: wells of the first negative control) or
    `variance_<factor>` (split empty: all wells; factors are compound, batch, plate and residual, without batch where
    plates and batches are one);
    level is `cell` or `well`. The probe of cells is `probes.evaluate`. Wells are too few for its optimiser, so their
    probe is logistic regression on standardised well means, trained to convergence on the same folds.
    """
    from threadpoolctl import threadpool_limits

    options, probe, bootstrap = options or ProfileOptions(), probe or ProbeOptions(), bootstrap or BootstrapOptions()
    with threadpool_limits(1):  # multithreaded sums differ in their last bits between machines
        return _summary(keys, embeddings, sample, options, probe, bootstrap, wells)


def _summary(
    keys: pd.DataFrame,
    embeddings: Floats,
    sample: pd.DataFrame,
    options: ProfileOptions,
    probe: ProbeOptions,
    bootstrap: BootstrapOptions,
    wells: pd.DataFrame | None,
) -> pd.DataFrame:
    """`profile_summary` on one thread."""
    tables = []
    for protocol, drawn in sample.groupby("protocol", sort=False):
        cells, features, _ = gather(keys, embeddings, drawn)
        if wells is not None:
            batch = wells.drop_duplicates(names.PLATE).set_index(names.PLATE)[names.BATCH]
            cells[names.BATCH] = cells[names.PLATE].map(batch)
        where, every, controls = _controls(keys, embeddings, cells, features, options.negative_controls, wells)
        if set(options.representations) != {"raw"}:
            there = _normalisable(where, controls)
            cells = cells[there[: len(cells)]].reset_index(drop=True)
            where, every, controls = where[there].reset_index(drop=True), every[there], controls[there]
        vehicle = controls & _of_compound(where, wells if wells is not None else cells, options.negative_controls[0])
        treated = (~cells[names.COMPOUND].isin(options.negative_controls)).to_numpy()
        classes = cells[treated].reset_index(drop=True)
        for representation in options.representations:
            normalised = normalise(where, every, controls, representation, options.shrinkage)
            if vehicle.any():
                leak = layout_leak(*well_means(where[vehicle], normalised[vehicle]), bootstrap)
                facts = {"protocol": protocol, "task": "", "representation": representation, "level": "well"}
                tables.append(leak.assign(**facts))
            values = normalised[: len(cells)][treated]
            for level in ("cell", "well"):
                logger.info("profiles: %s, %s embeddings, %s level", protocol, representation, level)
                facts = {"protocol": protocol, "representation": representation, "level": level}
                parts = _level(classes, values, level, options, probe, bootstrap)
                tables += [rows.assign(**facts) for rows in parts]
    tables = [table for table in tables if not table.empty]
    if not tables:
        raise DataError("profiles: the sample table has no rows; draw cells for at least one protocol and task")
    return pd.concat(tables, ignore_index=True)[SUMMARY_COLUMNS]


def _controls(
    keys: pd.DataFrame,
    embeddings: Floats,
    cells: pd.DataFrame,
    features: Floats,
    controls: Sequence[str],
    wells: pd.DataFrame | None,
) -> tuple[pd.DataFrame, Floats, NDArray[np.bool_]]:
    """Wells and embeddings of the sampled cells, then of all embedded control cells; and a mask of the latter."""
    where = cells[names.WELL_KEYS]
    if wells is None:
        return where, features, cells[names.COMPOUND].isin(controls).to_numpy()
    wanted = pd.MultiIndex.from_frame(wells.loc[wells[names.COMPOUND].isin(controls), names.WELL_KEYS])
    extra = pd.MultiIndex.from_frame(keys[names.WELL_KEYS]).isin(wanted)
    extra &= keys[names.PLATE].isin(cells[names.PLATE].unique()).to_numpy()
    beside = np.asarray(embeddings, np.float32)[extra]
    check_finite(keys[extra], beside, "profiles", "negative-control ")
    every = np.concatenate([features, beside])
    where = pd.concat([where, keys.loc[extra, names.WELL_KEYS]], ignore_index=True)
    return where, every, np.arange(len(every)) >= len(features)


def _of_compound(where: pd.DataFrame, wells: pd.DataFrame, compound: str) -> NDArray[np.bool_]:
    """Mask of the rows whose well holds this compound."""
    wanted = pd.MultiIndex.from_frame(wells.loc[wells[names.COMPOUND] == compound, names.WELL_KEYS])
    return np.asarray(pd.MultiIndex.from_frame(where[names.WELL_KEYS]).isin(wanted))


def _normalisable(where: pd.DataFrame, controls: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask of the rows on plates with two or more cells of the negative control; DataError when there is none."""
    plates = where[names.PLATE]
    counts = pd.Series(controls).groupby(plates.to_numpy(object)).sum()
    without = sorted(map(str, counts.index[counts < 2]))
    if len(without) == len(counts):
        raise DataError(
            "profiles: no plate has two cells of the negative control to normalise by; set profiles.negative_controls, "
            "or profiles.representations: [raw]"
        )
    if without:
        logger.warning(
            "profiles: %d of %d plates have fewer than two cells of the negative control and are left out: %s",
            len(without),
            len(counts),
            ", ".join(without[:5]),
        )
    return ~plates.isin(without).to_numpy()


def _level(
    cells: pd.DataFrame,
    values: Floats,
    level: str,
    options: ProfileOptions,
    probe: ProbeOptions,
    bootstrap: BootstrapOptions,
) -> Iterator[pd.DataFrame]:
    """The rows of each task at one level."""
    for task, group in cells.groupby("task", sort=False):
        if group[names.COMPOUND].nunique() < 2:
            logger.warning(
                "profiles: task %s has one compound beside the negative control; nothing to tell apart", task
            )
            continue
        rows = group.drop(columns="label")
        x = values[group.index]
        if level == "well":
            rows, x = _wells(rows, x)
            yield _retrieval(rows, x, bootstrap).assign(task=task)
            scored = rows["split"].isin(names.QUADRANTS).to_numpy()
            yield graded_retrieval(rows[scored], x[scored], bootstrap).assign(task=task)
            yield _variance(rows, x, bootstrap).assign(task=task)
            predictions = _by_fold(
                rows,
                x,
                probe,
                lambda train, labels, queries: logistic_predict(train, labels, queries, options.regularisation),
            )
        else:
            _, predictions = evaluate(rows[names.CELL_KEYS], x, rows, probe.changed(variants=()))
        for metric in ("accuracy", "balanced_accuracy"):
            yield _accuracy(predictions, f"probe_{metric}", bootstrap.changed(metric=metric))
        nearest = _by_fold(
            rows, x, probe, lambda train, labels, queries: _nearest(train, labels, queries, options.neighbours)
        )
        yield _accuracy(nearest, "knn_accuracy", bootstrap)


def _wells(rows: pd.DataFrame, x: Floats) -> tuple[pd.DataFrame, Floats]:
    """Well means in the format of cells, one nucleus 0 per well."""
    table, means = well_means(rows, x)
    columns = ["protocol", "task", *names.WELL_KEYS, names.COMPOUND, "split", names.BATCH]
    facts = rows.drop_duplicates(names.WELL_KEYS)[[name for name in columns if name in rows]]
    table = table.merge(facts, on=names.WELL_KEYS, how="left", validate="one_to_one")
    table[names.SITE], table[names.NUCLEUS], table["order"] = "", np.int32(0), np.arange(len(table))
    return table, means


def _accuracy(predictions: pd.DataFrame, metric: str, bootstrap: BootstrapOptions) -> pd.DataFrame:
    table = bootstrap_accuracy(predictions, bootstrap)
    return table[table["split"] != MEAN][["task", "split", "value", "low", "high"]].assign(metric=metric)


def _by_fold(rows: pd.DataFrame, x: Floats, probe: ProbeOptions, classify: Classifier) -> pd.DataFrame:
    """Predictions of a classifier on the probe's folds; in the control task it trains on all train cells at once."""
    cells, features, compounds = gather(rows[names.CELL_KEYS], x, rows)
    protocol, task = cells["protocol"].iloc[0], cells["task"].iloc[0]
    layout = plan_folds(task, probe.protocol(protocol), cells, probe.changed(subsets=1))
    labels, ids = cells["label"].to_numpy(), np.array(compounds, dtype=object)
    tables = []
    for number, (fit, quadrants) in enumerate(zip(layout.fits, layout.scored, strict=True)):
        scored = {split: where for split, where in quadrants.items() if len(where)}
        queries = features[np.concatenate(list(scored.values()))]
        guess = classify(features[fit.train], labels[fit.train], queries)
        start = 0
        for split, where in scored.items():
            table = cells.iloc[where][["protocol", "task", *names.CELL_KEYS]]
            part = ids[guess[start : start + len(where)]]
            start += len(where)
            tables.append(table.assign(fit=number, split=split, truth=ids[labels[where]], predicted=part))
    return pd.concat(tables, ignore_index=True)


def _nearest(train: Floats, labels: NDArray[np.int64], queries: Floats, most: int) -> NDArray[np.intp]:
    """k-NN with k at most the training rows of the rarest class, which could not win a larger vote."""
    counts = np.bincount(labels)
    return knn_predict(train, labels, queries, len(counts), min(most, int(counts[counts > 0].min())))


def _retrieval(wells: pd.DataFrame, x: Floats, bootstrap: BootstrapOptions) -> pd.DataFrame:
    """Mean average precision among the wells of each quadrant, with its interval over plates."""
    rows = []
    for split, group in wells.groupby("split", sort=False):
        if split not in names.QUADRANTS:
            continue
        try:
            table = replicate_retrieval(group, x[group.index])
        except DataError as error:
            logger.info("%s (quadrant %s)", error, split)  # the table of profiles says so as well
            continue
        reach = reach_over_plates(group, untied(x[group.index]), REPLICATES, names.COMPOUND, bootstrap.level)
        columns = {"map": "average_precision", "map_normalized": "normalized_average_precision"}
        for (metric, column), half in zip(columns.items(), reach, strict=True):
            value = float(table.groupby(names.COMPOUND)[column].mean().mean())
            least = 0.0 if metric == "map" else -np.inf  # above chance, a precision can be negative
            rows.append({"split": split, "metric": metric, "value": value, **within(value, half, least)})
    return pd.DataFrame(rows, columns=["split", "metric", "value", "low", "high"])


def _variance(wells: pd.DataFrame, x: Floats, bootstrap: BootstrapOptions) -> pd.DataFrame:
    """Shares of the variance over all wells of the task."""
    factors = [names.COMPOUND, names.PLATE]
    if names.BATCH in wells and 1 < wells[names.BATCH].nunique() < wells[names.PLATE].nunique():
        factors.insert(1, names.BATCH)
    try:
        table = variance_shares(wells, x, factors, bootstrap)
    except DataError as error:
        logger.warning("%s", error)
        return pd.DataFrame(columns=["split", "metric", "value", "low", "high"])
    short = {names.COMPOUND: "compound", names.BATCH: "batch", names.PLATE: "plate"}
    metric = "variance_" + table["factor"].replace(short)
    return table.rename(columns={"share": "value"}).assign(metric=metric, split="")[
        ["split", "metric", "value", "low", "high"]
    ]
