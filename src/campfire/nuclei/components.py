"""Choosing objects among the nested components of a landscape.

Above every level of a landscape (brightness, or distance to the edge) its pixels form components, and a component at
one level contains those of the levels above. Touching nuclei are one component at a low level and two at a higher one.
The choice between the one and the two goes by shape: nuclei are close to ellipses, merged nuclei are not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class _Level:
    """The components above one level: labels (H, W) from 1, and per component its size, misfit and parent's index."""

    labels: NDArray[np.int32]
    area: NDArray[np.float64]
    misfit: NDArray[np.float64]
    parent: NDArray[np.int64]
    split: NDArray[np.bool_]


def choose_components(
    landscape: NDArray[np.float32],
    levels: NDArray[Any],
    typical_area: float,
    smallest: float,
    margin: float = 0.03,
    size_weight: float = 0.05,
    eroded: bool = False,
) -> tuple[NDArray[np.int32], int]:
    """Disjoint components, one per object: (H, W) int32 labels from 1, and their number.

    landscape: (H, W). levels: increasing; pixels at or below the first are background. A component is split into the
    significant ones above it (area of at least `smallest` times `typical_area`, px) when their mean misfit is lower by
    `margin`. The misfit is one minus the component's area over that of the ellipse with the same second moments, plus
    `size_weight` per doubling of the area beyond 1.3 typical ones. `eroded` says that raising the level erodes an
    object by as many px (a distance landscape), so that areas are judged as they were before.
    """
    nested = _nest(landscape, levels, typical_area, size_weight, eroded)
    _decide(nested, smallest * typical_area, margin)
    return _collect(nested, smallest * typical_area, landscape.shape)


def _nest(
    landscape: NDArray[np.float32], levels: NDArray[Any], typical_area: float, size_weight: float, eroded: bool
) -> list[_Level]:
    from scipy.ndimage import label

    flat, width = landscape.ravel(), landscape.shape[1]
    active = np.flatnonzero(flat > levels[0])
    nested: list[_Level] = []
    for level in levels:
        active = active[flat[active] > level]
        if not len(active):
            break
        labels, count = label(landscape > level)
        index = labels.ravel()[active]
        area, fit = _ellipse_fit(active, index, count, width)
        if eroded:
            # A component of under 4 px is the rest of a rounding error, not a core.
            area = np.where(area >= 4, np.pi * (np.sqrt(area / np.pi) + level) ** 2, 0)
        doublings = np.log2(np.maximum(area, 1) / (1.3 * typical_area))
        parent = np.zeros(count + 1, dtype=np.int64)
        if nested:
            parent[index] = nested[-1].labels.ravel()[active]
        misfit = 1 - fit + size_weight * np.maximum(doublings, 0)
        nested.append(_Level(labels, area, misfit, parent[1:] - 1, np.zeros(count, dtype=bool)))
    return nested


def _ellipse_fit(
    pixels: NDArray[np.int64], index: NDArray[np.int32], count: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area of each component, and that area over the area of the ellipse with the same second moments (at most 1)."""
    row, column = (part.astype(np.float64) for part in np.divmod(pixels, width))
    area = np.bincount(index, minlength=count + 1)[1:].astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(index, weights=values, minlength=count + 1)[1:] / area

    y, x = mean(row), mean(column)
    # A pixel is a square of second moment 1/12, not a point.
    yy, xx = mean(row * row) - y * y + 1 / 12, mean(column * column) - x * x + 1 / 12
    xy = mean(row * column) - y * x
    ellipse = 4 * np.pi * np.sqrt(np.maximum(yy * xx - xy * xy, 1e-6))
    return area, np.minimum(area / ellipse, 1)


def _decide(nested: list[_Level], smallest: float, margin: float) -> None:
    """From the highest level down, mark the components that are better described by those above them."""
    parts = cost = weight = np.empty(0)
    above: _Level | None = None
    for level in reversed(nested):
        count = len(level.area)
        level_parts, level_cost, level_weight = np.ones(count), level.misfit.copy(), level.area.copy()
        if above is not None:
            counted = above.area >= smallest
            parent = above.parent[counted]

            def total(values: NDArray[np.float64], parent: Any = parent, count: int = count) -> NDArray[np.float64]:
                return np.bincount(parent, weights=values, minlength=count).astype(np.float64, copy=False)

            n, area = total(parts[counted]), total(weight[counted])
            mean = np.divide(total((cost * weight)[counted]), area, out=np.ones(count), where=area > 0)
            level.split = (n >= 2) & (mean + margin < level.misfit)
            level_parts = np.where(level.split, n, level_parts)
            level_cost = np.where(level.split, mean, level_cost)
            level_weight = np.where(level.split, area, level_weight)
        parts, cost, weight, above = level_parts, level_cost, level_weight, level


def _collect(nested: list[_Level], smallest: float, shape: tuple[int, ...]) -> tuple[NDArray[np.int32], int]:
    """Walk up from the lowest level and take every significant component that is not split."""
    chosen = np.zeros(shape, dtype=np.int32)
    number = 0
    entered: NDArray[np.bool_] | None = None
    for level in nested:
        reached = np.ones(len(level.area), dtype=bool) if entered is None else entered[level.parent]
        reached &= level.area >= smallest
        final = reached & ~level.split
        if final.any():
            names = np.zeros(len(final) + 1, dtype=np.int32)
            names[1:][final] = np.arange(number + 1, number + 1 + np.count_nonzero(final))
            number += int(np.count_nonzero(final))
            np.maximum(chosen, names[level.labels], out=chosen)
        entered = reached & level.split
        if not entered.any():
            break
    return chosen, number
