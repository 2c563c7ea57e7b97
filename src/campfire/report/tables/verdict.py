"""Verdicts from intervals as printed: a sentence claims only what the printed bounds show."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

ABOVE, BELOW, INCLUDES, TOUCHES = "above zero", "below zero", "includes zero", "touches zero"
DIFFERS = (ABOVE, BELOW)


def verdict(low: float, high: float, digits: int = 3) -> str:
    """Position of an interval relative to zero, by its printed bounds: above, below, includes or touches zero; empty if
    unknown.

    `touches zero`: the interval excludes zero, but by less than the printed digits show.
    """
    if pd.isna(low) or pd.isna(high):
        return ""
    if low <= 0 <= high:
        return INCLUDES
    nearest = round(float(low if low > 0 else high), digits)
    if nearest == 0:
        return TOUCHES
    return ABOVE if low > 0 else BELOW


def exceeds(low: float, floor: float, digits: int = 3) -> bool:
    """Whether an interval's lower bound, as printed, lies above `floor` as printed; False if unknown."""
    return not pd.isna(low) and round(float(low), digits) > round(float(floor), digits)


def leading(record: Mapping[Any, Any]) -> tuple[float, float, str]:
    """Bounds for a sentence and their units: `plates` where known, else `wells`, else neither.

    record: a row with low and high (over wells) and low_plates and high_plates.
    """
    for low, high, over in (("low_plates", "high_plates", "plates"), ("low", "high", "wells")):
        if not pd.isna(record.get(low)) and not pd.isna(record.get(high)):
            return float(record[low]), float(record[high]), over
    return float("nan"), float("nan"), ""
