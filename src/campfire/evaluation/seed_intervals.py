"""Intervals of a difference that cover other pretraining seeds, alone and together with other plates.

Trained from another seed a model differs in its initial weights, the order of tiles and all masks. Seeds are therefore
units like plates: the interval over seeds is Student's t on the difference of each seed, on the plates at hand. For
other seeds and other plates the two variances add up (Welch's degrees of freedom): that of the mean over seeds, and
that of the plates' contributions to it. What a seed does on a single plate, and chance among its wells, is in both, so
the sum is somewhat too large, never too small. `bench/interval_coverage.py` measures the coverage.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from campfire.core.errors import DataError
from campfire.evaluation.options import Metric
from campfire.evaluation.plate_intervals import PlateInterval, add, over_plates, plate_sides, plate_totals, well_terms
from campfire.evaluation.statistics import MEAN, paired_tallies
from campfire.evaluation.tally import Tally

Pairs = Mapping[tuple[str, str, str], tuple[Tally, Tally]]
"""Counts of a first and a second result by protocol, task and quadrant."""


def over_seeds(values: ArrayLike, level: float) -> PlateInterval:
    """Student's t interval of the mean of one value per seed (S,); `plates` counts seeds, fewer than three give nan."""
    return over_plates(float(np.asarray(values, np.float64).mean()), [_parts(values)], level)


def _parts(values: ArrayLike) -> pd.Series:
    """(S,) numbers whose squares add up to the variance of the mean of `values`."""
    each = np.asarray(values, np.float64)
    return pd.Series((each - each.mean()) / np.sqrt(len(each) * max(len(each) - 1, 1)))


def seed_differences(
    predictions: Sequence[tuple[pd.DataFrame, pd.DataFrame]], level: float = 0.95, metric: Metric = "accuracy"
) -> pd.DataFrame:
    """Difference of accuracy, first minus second, averaged over pretraining seeds; see `difference_over_seeds`.

    predictions: for each seed those of the first and of the second (`predictions.parquet`); a second without a seed is
    given with each. Raises DataError where two were not scored on the same cells by the same fits.
    """
    return difference_over_seeds([paired_tallies(*pair) for pair in predictions], level, metric)


def difference_over_seeds(seeds: Sequence[Pairs], level: float = 0.95, metric: Metric = "accuracy") -> pd.DataFrame:
    """Intervals over seeds, over plates and over both of a paired difference, from the counts of each seed.

    Returns one row per protocol and quadrant, and of their mean (`split` is "mean"): `protocol, split, first, second,
    difference, sd_seeds` (sample SD of the difference over seeds), `low_seeds, high_seeds` (other seeds, these plates),
    `low_plates, high_plates` (these seeds, other plates), `low, high, p` (other seeds and other plates), `n_seeds,
    n_plates`. Bounds are nan for fewer than three seeds or plates.
    """
    if not seeds or any(set(pairs) != set(seeds[0]) for pairs in seeds):
        raise DataError("statistics: the seeds were not scored in the same quadrants; evaluate all of them alike")
    rows = []
    for protocol in dict.fromkeys(key[0] for key in seeds[0]):
        keys = [key for key in seeds[0] if key[0] == protocol]
        values = np.array([[[_value(t, metric) for t in pairs[key]] for key in keys] for pairs in seeds])  # (S, Q, 2)
        totals = {key[2]: _mean_totals([pairs[key] for pairs in seeds], metric) for key in keys}
        for number, key in enumerate(keys):
            rows.append(_row(protocol, key[2], values[:, number], [totals[key[2]]], level))
        rows.append(_row(protocol, MEAN, values.mean(axis=1), plate_sides(totals), level))
    return pd.DataFrame(rows)


def _value(counts: Tally, metric: str) -> float:
    return float(well_terms(counts, metric)[0].sum())


def _mean_totals(pairs: Sequence[tuple[Tally, Tally]], metric: str) -> pd.Series:
    """Contribution of each plate to the mean over seeds of a quadrant's difference."""
    parts = [add([plate_totals(a, metric), plate_totals(b, metric)], [1, -1]) for a, b in pairs]
    return add(parts, [1 / len(parts)] * len(parts))


def _row(
    protocol: str, split: str, values: NDArray[np.float64], plates: Sequence[pd.Series], level: float
) -> dict[str, str | float | int]:
    """A row of the table from accuracies of first and second by seed (S, 2)."""
    differences = values[:, 0] - values[:, 1]
    mean, parts = float(differences.mean()), _parts(differences)
    seeds, across = over_plates(mean, [parts], level), over_plates(mean, plates, level)
    both = over_plates(mean, [*plates, parts], level)
    return {
        "protocol": protocol,
        "split": split,
        "first": float(values[:, 0].mean()),
        "second": float(values[:, 1].mean()),
        "difference": mean,
        "sd_seeds": float(differences.std(ddof=1)) if len(differences) > 1 else float("nan"),
        "low_seeds": seeds.low,
        "high_seeds": seeds.high,
        "low_plates": across.low,
        "high_plates": across.high,
        "low": both.low,
        "high": both.high,
        "p": both.p,
        "n_seeds": len(differences),
        "n_plates": across.plates,
    }
