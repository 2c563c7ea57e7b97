"""Drawing cells: five fluorescent channels per cell, each cell in a separate window, before optics and camera.

Cells that are drawn together share the part of the window that any of them covers; nothing is computed outside of it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.simulate.texture import FIBRE_ANGLES, SIZE, Atlas, blend, cut

WINDOW = 160
"""Side of a cell's window in px; larger than any cell that is drawn."""
CORE = 72
"""Side of the window's central part that holds the nucleus, px."""

Parameters = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class DrawnCells:
    """N cells. Each is in a box of H x W px, the part of its window (WINDOW x WINDOW px, its nucleus in the middle)
    that holds all of it."""

    light: NDArray[Any]
    """(N, 5, H, W) float32, channel order of core.columns.CHANNELS; about 1 where a stain is bright."""
    depth: NDArray[Any]
    """(N, H, W) float32: 1 in the middle of the cell, 0 on its outline, negative outside."""
    nucleus: NDArray[Any]
    """(N, CORE, CORE) bool: the true nucleus, in the middle of the window."""
    corner: tuple[int, int]
    """Where the box begins in the window: y, x in px."""


def _outline(
    dx: NDArray[Any],
    dy: NDArray[Any],
    radius: NDArray[Any],
    aspect: NDArray[Any],
    angle: NDArray[Any],
    waves: NDArray[Any],
    phases: NDArray[Any],
) -> NDArray[Any]:
    """Distance from the centre over the outline's radius in that direction (N, H, W).

    The outline is an ellipse of equal area to a disc of `radius` with Fourier waves 2, 3, ... of amplitudes
    `waves` (N, K) and `phases` (N, K) added.
    """
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    stretch = np.sqrt(aspect)[:, None, None]
    u, v = (c * dx + s * dy) / stretch, (c * dy - s * dx) * stretch
    r = np.sqrt(u * u + v * v) + np.float32(1e-3)
    turn = np.empty(r.shape, np.complex64)
    np.divide(u, r, out=turn.real)
    np.divide(v, r, out=turn.imag)
    factors = (waves * np.exp(1j * phases)).astype(np.complex64)[:, :, None, None]
    # Horner's scheme for the sum of factor_k turn^k, k = 2, 3, ...
    total = np.broadcast_to(factors[:, -1], r.shape).copy()
    for k in range(waves.shape[1] - 2, -1, -1):
        total *= turn
        total += factors[:, k]
    total *= turn
    total *= turn
    edge = 1 + total.real
    return r / (radius[:, None, None] * np.maximum(edge, 0.35))


def _soft_step(x: NDArray[Any]) -> NDArray[Any]:
    return np.clip(x + 0.5, 0.0, 1.0)


AXIS = np.arange(WINDOW, dtype=np.float32) - (WINDOW - 1) / 2
"""Offset of a window's pixels from its middle, along one side."""
FROM_NUCLEUS = np.sqrt(AXIS[None, :, None] ** 2 + AXIS[None, None, :] ** 2)
"""Distance from the middle of the window (1, WINDOW, WINDOW)."""
LOW = (WINDOW - CORE) // 2
MIDDLE = slice(LOW, LOW + CORE)
"""The central part of the window, along one side."""


def _extent(covered: NDArray[Any]) -> slice:
    """The pixels along one side of a window (WINDOW,) from the first to the last covered one, and its central part.

    In steps of eight, as many as the processor takes at once, so that values do not depend on the extent.
    """
    found = np.flatnonzero(covered)
    first, last = min([LOW, *found[:1]]), max([LOW + CORE - 1, *found[-1:]])
    return slice(int(first) // 8 * 8, int(last) // 8 * 8 + 8)


def draw(cells: Parameters, atlas: Atlas, rng: np.random.Generator) -> DrawnCells:
    """Draw N cells with parameters (N,) each (campfire.simulate.phenotype.draw_cells)."""
    return _Drawing(cells, atlas, rng).draw()


class _Drawing:
    """N cells being drawn: parameters, and the shapes that all channels share. Draws from `rng` in a fixed order."""

    def __init__(self, cells: Parameters, atlas: Atlas, rng: np.random.Generator) -> None:
        self.cells, self.atlas, self.rng = cells, atlas, rng
        self.count = len(cells["cell_radius"])
        self.p = {name: value[:, None, None] for name, value in cells.items()}

    def draw(self) -> DrawnCells:
        self.angle = self.rng.uniform(0, np.pi, self.count).astype(np.float32)
        self._shape_cells()
        dna, nucleoli, nuclei = self._nuclei()
        light = np.empty((self.count, 5, *self.depth.shape[1:]), np.float32)
        amount = self.rng.lognormal(0, 0.15, (5, self.count)).astype(np.float32)[:, :, None, None]
        light[:, 0] = 0
        light[:, 0, *self.core] = amount[0] * dna
        vacuole = _soft_step((self._window(self.atlas.holes) - (2.6 - 2.4 * np.sqrt(self.p["vacuoles"]))) * 2.5)
        self.whole = 1 - 0.75 * (vacuole * self.outside)
        light[:, 1] = self._actin() * amount[1]
        light[:, 2] = self._mitochondria(amount[2])
        light[:, 3] = self._reticulum(amount[3])
        light[:, 4] = self._rna(nucleoli) * amount[4]
        return DrawnCells(light, self.depth, nuclei, (self.rows.start, self.columns.start))

    def _window(self, texture: NDArray[Any]) -> NDArray[Any]:
        """The box in a window of a texture at a random position, for each cell."""
        corners = self.rng.integers(0, SIZE, (self.count, 2)) + np.array([self.rows.start, self.columns.start])
        return cut(texture, corners, *self.depth.shape[1:])

    def _mixed(self, pair: list[NDArray[Any]], share: NDArray[Any]) -> NDArray[Any]:
        weight = share[:, None, None]
        return (1 - weight) * self._window(pair[0]) + weight * self._window(pair[1])

    def _shape_cells(self) -> None:
        """Set depth inside the outline, whose centre is a little off the nucleus, the box, and the thickness in it."""
        cells, rng, count, p = self.cells, self.rng, self.count, self.p
        shift = (rng.normal(0, 0.10, (2, count)) * cells["cell_radius"]).astype(np.float32)
        dy = AXIS[None, :, None] - shift[0][:, None, None]
        dx = AXIS[None, None, :] - shift[1][:, None, None]
        orders = np.arange(2, 7)
        waves = cells["protrusions"][:, None] * rng.rayleigh(0.8, (count, 5)) * (2.5 / orders)
        rho = _outline(
            dx,
            dy,
            cells["cell_radius"],
            cells["cell_aspect"],
            self.angle,
            waves.astype(np.float32),
            rng.uniform(0, 2 * np.pi, (count, 5)).astype(np.float32),
        )
        # A very long cell is rounded off where its window ends.
        depth = np.minimum(1 - rho, ((WINDOW - 1) / 2 - 1 - FROM_NUCLEUS) / p["cell_radius"])
        covered = (depth > 0).any(0)
        self.rows, self.columns = _extent(covered.any(1)), _extent(covered.any(0))
        self.core = tuple(slice(LOW - axis.start, LOW - axis.start + CORE) for axis in (self.rows, self.columns))
        self.depth = np.ascontiguousarray(depth[:, self.rows, self.columns])
        self.from_nucleus = np.ascontiguousarray(FROM_NUCLEUS[:, self.rows, self.columns])
        self.inside = _soft_step(self.depth * p["cell_radius"] / 2.5)
        self.thick = self.inside * (0.30 + 0.70 * np.exp(-((self.from_nucleus / (0.8 * p["cell_radius"])) ** 2)))

    def _nuclei(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """DNA and nucleoli in the central part of the window, and which of its pixels belong to the nucleus."""
        cells, rng, count, p = self.cells, self.rng, self.count, self.p
        near = AXIS[MIDDLE]
        lobes = (cells["nucleus_lobes"][:, None] * rng.rayleigh(0.8, (count, 3))).astype(np.float32)
        nuclear = _outline(
            near[None, None, :],
            near[None, :, None],
            cells["nucleus_radius"],
            cells["nucleus_aspect"],
            self.angle + rng.normal(0, 0.25, count).astype(np.float32),
            np.minimum(lobes, np.float32(0.14)),
            rng.uniform(0, 2 * np.pi, (count, 3)).astype(np.float32),
        )
        solid = _soft_step((1 - nuclear) * p["nucleus_radius"] / 1.5)
        self.outside = np.ones(self.depth.shape, np.float32)
        self.outside[:, *self.core] = 1 - solid
        nucleoli = np.zeros_like(nuclear)
        number = rng.poisson(cells["nucleoli"])
        for k in range(6):
            distance = cells["nucleus_radius"] * 0.62 * np.sqrt(rng.random(count))
            around = rng.uniform(0, 2 * np.pi, count)
            size = (cells["nucleolus_radius"] * rng.lognormal(0, 0.2, count)).astype(np.float32)[:, None, None]
            if not (number > k).any():
                continue
            y = near[None, :, None] - (distance * np.sin(around)).astype(np.float32)[:, None, None]
            x = near[None, None, :] - (distance * np.cos(around)).astype(np.float32)[:, None, None]
            spot = np.exp(-(((y * y + x * x) / (size * size)) ** 2))
            nucleoli = np.maximum(nucleoli, spot * (number > k)[:, None, None])
        nucleoli *= solid
        grain = blend(
            cut(self.atlas.grain[0], rng.integers(0, SIZE, (count, 2)), CORE, CORE),
            cut(self.atlas.grain[1], rng.integers(0, SIZE, (count, 2)), CORE, CORE),
            cells["chromatin_coarse"],
        )
        chromatin = np.clip(1 + p["chromatin_contrast"] * grain, 0.1, None) * (1.05 - 0.25 * nuclear * nuclear)
        return solid * chromatin * (1 - 0.35 * nucleoli), nucleoli, nuclear < 1

    def _actin(self) -> NDArray[Any]:
        """Fibres along the cell, a bright cortex, Golgi on one side of the nucleus, vesicles."""
        cells, rng, count, p = self.cells, self.rng, self.count, self.p
        index = np.round(self.angle / np.pi * FIBRE_ANGLES + rng.normal(0, 0.6, count)).astype(int) % FIBRE_ANGLES
        corners = rng.integers(0, SIZE, (count, 2))
        fibres = np.empty_like(self.depth)
        fine, coarse = self.atlas.fibres
        for i, (y0, x0) in enumerate(corners):
            box = (
                slice(y0 + self.rows.start, y0 + self.rows.stop),
                slice(x0 + self.columns.start, x0 + self.columns.stop),
            )
            share = cells["fibre_coarse"][i]
            fibres[i] = (1 - share) * fine[index[i]][box] + share * coarse[index[i]][box]
        side = rng.uniform(0, 2 * np.pi, count)
        reach = cells["nucleus_radius"] + 0.7 * cells["golgi_spread"]
        gy = AXIS[None, self.rows, None] - (reach * np.sin(side)).astype(np.float32)[:, None, None]
        gx = AXIS[None, None, self.columns] - (reach * np.cos(side)).astype(np.float32)[:, None, None]
        apart = (gy * gy + gx * gx) / (2 * p["golgi_spread"] ** 2)
        golgi = np.exp(-apart) * (0.25 + 1.2 * self._window(self.atlas.spots[1])) * (5.5 / p["golgi_spread"])
        rim = np.exp(-((self.depth * p["cell_radius"] / 2.2 - 0.8) ** 2))
        vesicles = self._window(self.atlas.spots[0])
        return self.inside * (
            self.thick * (0.30 + p["fibres"] * fibres * (0.35 + 0.65 * self.outside)) * self.whole
            + 0.45 * p["cortex"] * rim
            + 0.8 * p["golgi"] * golgi * self.outside
            + p["vesicles"] * vesicles * self.outside
        )

    def _mitochondria(self, amount: NDArray[Any]) -> NDArray[Any]:
        cells, p = self.cells, self.p
        tubular = self._mixed(self.atlas.tubules, cells["mito_coarse"])
        dotted = self._mixed(self.atlas.spots, cells["mito_coarse"]) * 1.3
        organelle = (1 - p["mito_fragmented"]) * tubular + p["mito_fragmented"] * dotted
        edge = np.maximum(self.from_nucleus - 0.9 * p["nucleus_radius"], 0) / p["mito_reach"]
        patchy = np.clip(1 + p["mito_patchy"] * self._window(self.atlas.patches), 0.1, None)
        spread = self.outside * np.exp(-edge * np.sqrt(edge)) * organelle * patchy
        return amount * self.inside * (0.10 * self.thick + spread)

    def _reticulum(self, amount: NDArray[Any]) -> NDArray[Any]:
        p, grain = self.p, self.atlas.grain
        reticulum = blend(self._window(grain[0]), self._window(grain[2]), self.cells["er_coarse"])
        fall = np.exp(-np.maximum(self.from_nucleus - p["nucleus_radius"], 0) / p["er_reach"])
        light = amount * self.inside * fall * np.clip(1 + p["er_contrast"] * reticulum, 0.1, None) * self.whole
        return light * (0.45 + 0.55 * self.outside)

    def _rna(self, nucleoli: NDArray[Any]) -> NDArray[Any]:
        p, grain = self.p, self.atlas.grain
        granules = blend(self._window(grain[0]), self._window(grain[1]), self.cells["rna_coarse"])
        body = self.thick * np.clip(1 + p["rna_contrast"] * granules, 0.1, None) * self.whole
        light = body * (0.55 + 0.45 * self.outside)
        light[:, *self.core] += 0.9 * p["nucleolus_contrast"] * nucleoli
        return light
