"""One table of everything beyond the paper's accuracies."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire import keys as names
from campfire.errors import DataError
from campfire.probes import ProbeOptions, evaluate
from campfire.probes.evaluate import gather
from campfire.probes.folds import plan
from campfire.profiles.normalise import Representation, normalise, well_means
from campfire.profiles.retrieval import knn_predict, replicate_retrieval
from campfire.profiles.variance import variance_shares
from campfire.statistics import MEAN, BootstrapOptions, bootstrap_accuracy, stratified_mean

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

SUMMARY_COLUMNS = ["protocol", "task", "split", "metric", "representation", "level", "value", "low", "high"]


@dataclass(frozen=True)
class ProfileOptions:
    """Evaluations beyond the linear probe of single cells."""

    representations: tuple[Representation, ...] = ("raw", "sphered")
    """Embeddings as they are, sphered or TVN-normalised by the negative control of each plate."""
    negative_control: str = "JCP2022_033924"
    """Compound that plates are normalised by (DMSO)."""
    shrinkage: float = 0.01
    """Share of the mean variance mixed into the controls' covariance before it is inverted."""
    neighbours: int = 20
    """Neighbours that vote in k-NN."""
    well_learning_rate: float = 1e-2
    """Learning rate of the well-level probe, which has some hundred rows and so few steps."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "representations", tuple(self.representations))


def profile_summary(
    keys: pd.DataFrame,
    embeddings: Floats,
    sample: pd.DataFrame,
    options: ProfileOptions | None = None,
    probe: ProbeOptions | None = None,
    bootstrap: BootstrapOptions | None = None,
    negative_wells: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """k-NN of cells and wells, probe of cells and wells, replicate retrieval and variance shares, with intervals.

    keys, embeddings (N, D), sample (all tasks of a protocol): as for `probes.evaluate`. Plates are normalised by the
    sampled cells of the negative control, or by all embedded cells of `negative_wells` (plate and well) when given:
    the release's sample holds one control well of an ID plate, whose own deviation then enters the whole plate.
    Returns one row per `protocol, task, split, metric, representation, level`: metric is `probe_accuracy`,
    `probe_balanced_accuracy`, `knn_accuracy`, `map`, `map_normalized` or `variance_<factor>` (split empty: all wells);
    level is `cell` or `well`.
    """
    options, probe, bootstrap = options or ProfileOptions(), probe or ProbeOptions(), bootstrap or BootstrapOptions()
    tables = []
    for protocol, drawn in sample.groupby("protocol", sort=False):
        cells, features, _ = gather(keys, embeddings, drawn)
        controls = (cells[names.COMPOUND] == options.negative_control).to_numpy()
        where, every = cells[names.WELL_KEYS], features
        if negative_wells is not None:
            wanted = pd.MultiIndex.from_frame(negative_wells[names.WELL_KEYS])
            extra = pd.MultiIndex.from_frame(keys[names.WELL_KEYS]).isin(wanted)
            extra &= keys[names.PLATE].isin(cells[names.PLATE].unique()).to_numpy()
            where = pd.concat([where, keys.loc[extra, names.WELL_KEYS]], ignore_index=True)
            every = np.concatenate([features, np.asarray(embeddings, np.float32)[extra]])
            controls = np.arange(len(every)) >= len(features)
        for representation in options.representations:
            values = normalise(where, every, controls, representation, options.shrinkage)[: len(features)]
            for level in ("cell", "well"):
                logger.info("profiles: %s, %s embeddings, %s level", protocol, representation, level)
                for rows in _level(cells, values, level, options, probe, bootstrap):
                    tables.append(rows.assign(protocol=protocol, representation=representation, level=level))
    if not tables:
        raise DataError("profiles: the sample table has no rows; draw cells for at least one protocol and task")
    return pd.concat(tables, ignore_index=True)[SUMMARY_COLUMNS]


def _level(
    cells: pd.DataFrame,
    values: Floats,
    level: str,
    options: ProfileOptions,
    probe: ProbeOptions,
    bootstrap: BootstrapOptions,
) -> Iterator[pd.DataFrame]:
    """Each task's rows at one level."""
    for task, group in cells.groupby("task", sort=False):
        rows = group.drop(columns="label")
        x = values[group.index]
        if level == "well":
            rows, x = _wells(rows, x)
            probe = replace(probe, subsets=1, learning_rate=options.well_learning_rate)
            yield _retrieval(rows, x, bootstrap).assign(task=task)
            yield _variance(rows, x, bootstrap).assign(task=task)
        _, predictions = evaluate(rows[names.CELL_KEYS], x, rows, probe)
        for metric in ("accuracy", "balanced_accuracy"):
            yield _accuracy(predictions, f"probe_{metric}", replace(bootstrap, metric=metric))  # type: ignore[arg-type]
        yield _accuracy(_neighbours(rows, x, options, probe), "knn_accuracy", bootstrap)


def _wells(rows: pd.DataFrame, x: Floats) -> tuple[pd.DataFrame, Floats]:
    """Well means shaped as cells, one nucleus 0 per well."""
    table, means = well_means(rows, x)
    facts = rows.drop_duplicates(names.WELL_KEYS)[["protocol", "task", *names.WELL_KEYS, names.COMPOUND, "split"]]
    table = table.merge(facts, on=names.WELL_KEYS, how="left", validate="one_to_one")
    table[names.SITE], table[names.NUCLEUS], table["order"] = "", np.int32(0), np.arange(len(table))
    return table, means


def _accuracy(predictions: pd.DataFrame, metric: str, bootstrap: BootstrapOptions) -> pd.DataFrame:
    table = bootstrap_accuracy(predictions, bootstrap)
    return table[table["split"] != MEAN][["task", "split", "value", "low", "high"]].assign(metric=metric)


def _neighbours(rows: pd.DataFrame, x: Floats, options: ProfileOptions, probe: ProbeOptions) -> pd.DataFrame:
    """Predictions of k-NN with the probe's folds; all train cells at once in the control task."""
    cells, features, compounds = gather(rows[names.CELL_KEYS], x, rows)
    protocol, task = cells["protocol"].iloc[0], cells["task"].iloc[0]
    layout = plan(task, probe.protocol(protocol), cells, replace(probe, subsets=1))
    labels, ids = cells["label"].to_numpy(), np.array(compounds, dtype=object)
    tables = []
    for number, (fit, quadrants) in enumerate(zip(layout.fits, layout.scored, strict=True)):
        for split, scored in quadrants.items():
            if len(scored) == 0:
                continue
            guess = knn_predict(features[fit.train], labels[fit.train], features[scored], len(ids), options.neighbours)
            table = cells.iloc[scored][["protocol", "task", *names.CELL_KEYS]]
            tables.append(table.assign(fit=number, split=split, truth=ids[labels[scored]], predicted=ids[guess]))
    return pd.concat(tables, ignore_index=True)


def _retrieval(wells: pd.DataFrame, x: Floats, bootstrap: BootstrapOptions) -> pd.DataFrame:
    """Mean average precision among the wells of each quadrant."""
    rows = []
    for split, group in wells.groupby("split", sort=False):
        if split not in names.QUADRANTS:
            continue
        try:
            table = replicate_retrieval(group, x[group.index])
        except DataError as error:
            logger.warning("%s (quadrant %s)", error, split)
            continue
        strata = np.unique(table[names.COMPOUND], return_inverse=True)[1]
        for metric, column in (("map", "average_precision"), ("map_normalized", "normalized_average_precision")):
            value, low, high = stratified_mean(table[column].to_numpy(np.float64), strata, bootstrap)
            rows.append({"split": split, "metric": metric, "value": value, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["split", "metric", "value", "low", "high"])


def _variance(wells: pd.DataFrame, x: Floats, bootstrap: BootstrapOptions) -> pd.DataFrame:
    """Shares of the variance over all wells of the task."""
    try:
        table = variance_shares(wells, x, options=bootstrap)
    except DataError as error:
        logger.warning("%s", error)
        return pd.DataFrame(columns=["split", "metric", "value", "low", "high"])
    metric = "variance_" + table["factor"].replace({names.COMPOUND: "compound", names.PLATE: "plate"})
    return table.rename(columns={"share": "value"}).assign(metric=metric, split="")[
        ["split", "metric", "value", "low", "high"]
    ]
