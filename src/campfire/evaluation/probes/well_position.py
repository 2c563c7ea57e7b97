"""The well-position effect: how well wells of one treatment are identified by their position alone.

A screen whose plates share a layout, as JUMP's TARGET2 plates do, has each compound in the same wells on every plate,
in distribution and out of it. What a probe learns of a position (edges, drying, illumination, seeding) then
counts as knowledge of the compound, and no split of these plates can separate the two. The negative control can: its
wells differ by their position alone.
"""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.probes.evaluate import gather, score
from campfire.evaluation.probes.folds import MOST_FOLDS, plan_folds
from campfire.evaluation.probes.leakage import LEAKAGE_COLUMNS, WELL_POSITION
from campfire.evaluation.probes.linear import fit_linear
from campfire.evaluation.probes.options import ProbeOptions, Protocol

logger = logging.getLogger(__name__)

SPLITS = {"control": "test_ood_plate", "heldout": "test_ood_both"}
"""The quadrant of each task whose row shows the effect: that of the OOD plates, on which it is measured."""


def well_position_table(
    keys: pd.DataFrame,
    embeddings: NDArray[np.float32],
    sample: pd.DataFrame,
    negative_control: str,
    options: ProbeOptions | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Balanced accuracy of identifying a negative control's well on a plate not trained on, against chance.

    sample: one protocol's rows of `sample/cells.parquet`, drawn by well. Each task uses as many positions as
    it has compounds (at most those that hold the control on all OOD plates), as many cells per well as the task has,
    folds of whole OOD plates, all epochs and the last weights: nothing is chosen on scored cells.
    Returns rows like those of `leakage.leakage_table`; none, with a log line, where fewer than two positions or three
    OOD plates hold the control. The interval is over plates (Student's t), of coverage `level`.
    """
    options = options or ProbeOptions()
    control = sample[(sample[names.COMPOUND] == negative_control) & (sample["split"] == "test_ood_plate")]
    plates = control[names.PLATE].nunique()
    spread = control.groupby(names.WELL)[names.PLATE].nunique()
    positions = sorted(spread.index[spread == plates])
    if plates < 3 or len(positions) < 2:
        logger.info(
            "leakage: %d well positions hold the negative control on all of %d OOD plates; their effect needs 2 and 3",
            len(positions),
            plates,
        )
        return pd.DataFrame(columns=LEAKAGE_COLUMNS)
    rows = []
    for task, drawn in sample.groupby("task", sort=False):
        count = min(drawn[names.COMPOUND].nunique(), len(positions))
        order = np.random.RandomState(options.subset_seed).permutation(len(positions))[:count]
        cells_per_well = int(drawn.groupby(names.WELL_KEYS).size().median())
        chosen = control[control[names.WELL].isin([positions[i] for i in order])].sort_values("order")
        chosen = chosen[chosen.groupby(names.WELL_KEYS).cumcount() < cells_per_well]
        value, low, high = _accuracy_by_plate(keys, embeddings, chosen, plates, options, level)
        rows.append(
            {"task": task, "split": SPLITS[str(task)], "source": WELL_POSITION}
            | {"accuracy_with": value, "accuracy_without": 1 / count}
            | {"difference": value - 1 / count, "low": low - 1 / count, "high": high - 1 / count}
            | {"n_wells": len(chosen[names.WELL_KEYS].drop_duplicates())}
        )
    return pd.DataFrame(rows)[LEAKAGE_COLUMNS]


def _accuracy_by_plate(
    keys: pd.DataFrame,
    embeddings: NDArray[np.float32],
    chosen: pd.DataFrame,
    plates: int,
    options: ProbeOptions,
    level: float,
) -> tuple[float, float, float]:
    """Balanced accuracy with well positions as classes, and its interval over plates: value, low, high."""
    from scipy.special import stdtrit

    renamed = chosen.assign(split="test_ood_compound")
    renamed[names.COMPOUND] = renamed[names.WELL]
    cells, features, wells = gather(keys, embeddings, renamed)
    once = options.changed(folds=min(options.folds or MOST_FOLDS, plates), patience=options.epochs)
    layout = plan_folds("heldout", Protocol(weights="last", monitor="scored", folds="plate"), cells, once)
    once = once.with_rate([len(fit.train) for fit in layout.fits])
    layout = replace(layout, scored=[{"test_ood_compound": s["test_ood_compound"]} for s in layout.scored])
    fits = fit_linear(features, cells["label"].to_numpy(), layout.fits, len(wells), once)
    _, predictions = score(cells, features, layout, fits, "last", wells)
    # A training well affects the predictions of all others, so wells are not independent. Plates are: one fit scores
    # each of them, and the interval is Student's t over plates.
    hits = (predictions["truth"] == predictions["predicted"]).astype(float)
    by_well = hits.groupby([predictions[names.PLATE], predictions["truth"]]).mean()
    by_plate = by_well.groupby(names.PLATE).mean().to_numpy()
    margin = stdtrit(plates - 1, (1 + level) / 2) * by_plate.std(ddof=1) / np.sqrt(plates)
    value = float(by_plate.mean())
    return value, value - float(margin), value + float(margin)
