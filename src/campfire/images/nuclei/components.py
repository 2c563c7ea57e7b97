"""Choosing objects among the nested components of a landscape.

Above every level of a landscape (brightness, or distance to the edge) its pixels form components, and a component at
one level contains those of the levels above. Touching nuclei are one component at a low level and two at a higher one.
Shape decides between the one and the two: nuclei are close to ellipses, merged nuclei are not.
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
    margin: float = 0.1,
    size_weight: float = 0.05,
    eroded: bool = False,
) -> tuple[NDArray[np.int32], int]:
    """Disjoint components, one per object: (H, W) int32 labels from 1, and their number.

    landscape: (H, W). levels: increasing; pixels at or below the first are background. A component is split into the
    significant ones above it (area of at least `smallest` times `typical_area`, px) when their mean misfit is lower by
    `margin`. The misfit is one minus the intersection over union of the component and the ellipse with its second
    moments, plus `size_weight` per doubling of the area beyond 1.3 typical ones. `eroded` says that raising the level
    erodes an object by as many px (a distance landscape), so that areas are judged at their original size.
    """
    least = smallest * typical_area
    pieces = _separate(landscape > levels[0], least, float(levels[0]) if eroded else 0.0)
    sheet = np.full(_place(pieces), levels[0], dtype=landscape.dtype)
    for piece in pieces:
        sheet[piece.place][piece.mask] = landscape[piece.box][piece.mask]
    nested = _nest(sheet, levels, typical_area, size_weight, eroded)
    _decide(nested, least, margin)
    found, count = _collect(nested, least, sheet.shape)
    chosen = np.zeros(landscape.shape, dtype=np.int32)
    for piece in pieces:
        chosen[piece.box][piece.mask] = found[piece.place][piece.mask]
    return chosen, count


@dataclass
class _Piece:
    """A component of the foreground: its box in the field, its pixels in that box, its box on the sheet."""

    box: tuple[slice, slice]
    mask: NDArray[np.bool_]
    place: tuple[slice, slice] = (slice(0), slice(0))


def _separate(foreground: NDArray[np.bool_], least: float, eroded_by: float) -> list[_Piece]:
    """The components of the foreground that are large enough to be an object."""
    from scipy.ndimage import find_objects, label

    labels, _ = label(foreground)
    areas = np.bincount(labels.ravel())
    pieces = []
    for n, box in enumerate(find_objects(labels), 1):
        if np.pi * (np.sqrt(areas[n] / np.pi) + eroded_by) ** 2 >= least:
            pieces.append(_Piece(box, labels[box] == n))
    return pieces


def _place(pieces: list[_Piece]) -> tuple[int, int]:
    """Place the pieces on shelves of one sheet, a pixel apart; returns the sheet's shape.

    Nuclei cover a tenth of most fields, and every level labels the whole array it is given.
    """
    cells = sum((piece.mask.shape[0] + 1) * (piece.mask.shape[1] + 1) for piece in pieces)
    width = max([int(np.sqrt(cells)) + 1, *(piece.mask.shape[1] + 1 for piece in pieces)])
    top = left = shelf = 0
    for piece in sorted(pieces, key=lambda piece: -piece.mask.shape[0]):
        tall, wide = piece.mask.shape
        if left + wide > width:
            top, left, shelf = top + shelf + 1, 0, 0
        piece.place = (slice(top, top + tall), slice(left, left + wide))
        left, shelf = left + wide + 1, max(shelf, tall)
    return top + shelf + 1, width


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
            # A component of under 4 px is a rounding artefact, not a core.
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
    """Area of each component, and its intersection over union with the ellipse of the same second moments."""
    row, column = (part.astype(np.float64) for part in np.divmod(pixels, width))
    area = np.bincount(index, minlength=count + 1)[1:].astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(index, weights=values, minlength=count + 1)[1:] / area

    y, x = mean(row), mean(column)
    # A pixel is a square of second moment 1/12, not a point.
    yy, xx = mean(row * row) - y * y + 1 / 12, mean(column * column) - x * x + 1 / 12
    xy = mean(row * column) - y * x
    determinant = np.maximum(yy * xx - xy * xy, 1e-6)
    ellipse = 4 * np.pi * np.sqrt(determinant)
    # Squared Mahalanobis distance of each pixel: 4 on the outline of the ellipse.
    k = index - 1
    dy, dx = row - y[k], column - x[k]
    distance = ((xx / determinant)[k] * dy - (2 * xy / determinant)[k] * dx) * dy + (yy / determinant)[k] * dx * dx
    common = np.bincount(k, weights=distance <= 4, minlength=count)
    return area, common / (area + ellipse - common)


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
            # An object is judged by the level that shows it best.
            level_cost = np.where(n == 1, np.minimum(level_cost, mean), level_cost)
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
