"""Drawing cells: five fluorescent channels of each cell in a window of its own, before optics and camera."""

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
    """N cells, each in a WINDOW x WINDOW px box around its nucleus."""

    light: NDArray[Any]
    """(N, 5, WINDOW, WINDOW) float32, channel order of campfire.keys.CHANNELS; about 1 where a stain is bright."""
    depth: NDArray[Any]
    """(N, WINDOW, WINDOW) float32: 1 in the middle of the cell, 0 on its outline, negative outside."""
    nucleus: NDArray[Any]
    """(N, CORE, CORE) bool: the true nucleus, in the middle of the window."""


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


def draw(cells: Parameters, atlas: Atlas, rng: np.random.Generator) -> DrawnCells:
    """Draw N cells with parameters (N,) each (campfire.simulate.phenotype.draw_cells)."""
    count = len(cells["cell_radius"])
    p = {name: value[:, None, None] for name, value in cells.items()}
    half = (WINDOW - 1) / 2
    axis = np.arange(WINDOW, dtype=np.float32) - half
    angle = rng.uniform(0, np.pi, count).astype(np.float32)

    def window(texture: NDArray[Any]) -> NDArray[Any]:
        return cut(texture, rng.integers(0, SIZE, (count, 2)), WINDOW)

    def mixed(pair: list[NDArray[Any]], share: NDArray[Any]) -> NDArray[Any]:
        weight = share[:, None, None]
        return (1 - weight) * window(pair[0]) + weight * window(pair[1])

    # The cell's outline, its centre a little off the nucleus.
    shift = (rng.normal(0, 0.10, (2, count)) * cells["cell_radius"]).astype(np.float32)
    dy = axis[None, :, None] - shift[0][:, None, None]
    dx = axis[None, None, :] - shift[1][:, None, None]
    orders = np.arange(2, 7)
    waves = cells["protrusions"][:, None] * rng.rayleigh(0.8, (count, 5)) * (2.5 / orders)
    rho = _outline(
        dx,
        dy,
        cells["cell_radius"],
        cells["cell_aspect"],
        angle,
        waves.astype(np.float32),
        rng.uniform(0, 2 * np.pi, (count, 5)).astype(np.float32),
    )
    # A very long cell is rounded off where its window ends.
    from_nucleus = np.sqrt(axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    depth = np.minimum(1 - rho, (half - 1 - from_nucleus) / p["cell_radius"])
    inside = _soft_step(depth * p["cell_radius"] / 2.5)
    thick = inside * (0.30 + 0.70 * np.exp(-((from_nucleus / (0.8 * p["cell_radius"])) ** 2)))

    # The nucleus, in the central part of the window.
    low = (WINDOW - CORE) // 2
    core = slice(low, low + CORE)
    near = axis[core]
    lobes = (cells["nucleus_lobes"][:, None] * rng.rayleigh(0.8, (count, 3))).astype(np.float32)
    nuclear = _outline(
        near[None, None, :],
        near[None, :, None],
        cells["nucleus_radius"],
        cells["nucleus_aspect"],
        angle + rng.normal(0, 0.25, count).astype(np.float32),
        np.minimum(lobes, np.float32(0.14)),
        rng.uniform(0, 2 * np.pi, (count, 3)).astype(np.float32),
    )
    mask = nuclear < 1
    solid = _soft_step((1 - nuclear) * p["nucleus_radius"] / 1.5)
    nucleoli = np.zeros_like(nuclear)
    number = rng.poisson(cells["nucleoli"])
    for k in range(6):
        distance = cells["nucleus_radius"] * 0.62 * np.sqrt(rng.random(count))
        around = rng.uniform(0, 2 * np.pi, count)
        size = (cells["nucleolus_radius"] * rng.lognormal(0, 0.2, count)).astype(np.float32)[:, None, None]
        y = near[None, :, None] - (distance * np.sin(around)).astype(np.float32)[:, None, None]
        x = near[None, None, :] - (distance * np.cos(around)).astype(np.float32)[:, None, None]
        spot = np.exp(-(((y * y + x * x) / (size * size)) ** 2))
        nucleoli = np.maximum(nucleoli, spot * (number > k)[:, None, None])
    nucleoli *= solid
    grain = blend(
        cut(atlas.grain[0], rng.integers(0, SIZE, (count, 2)), CORE),
        cut(atlas.grain[1], rng.integers(0, SIZE, (count, 2)), CORE),
        cells["chromatin_coarse"],
    )
    chromatin = np.clip(1 + p["chromatin_contrast"] * grain, 0.1, None) * (1.05 - 0.25 * nuclear * nuclear)

    light = np.zeros((count, 5, WINDOW, WINDOW), np.float32)
    dna, agp, mito, er, rna = (light[:, k] for k in range(5))
    outside = np.ones((count, WINDOW, WINDOW), np.float32)
    outside[:, core, core] = 1 - solid
    amount = rng.lognormal(0, 0.15, (5, count)).astype(np.float32)[:, :, None, None]

    dna[:, core, core] = amount[0] * solid * chromatin * (1 - 0.35 * nucleoli)

    vacuole = _soft_step((window(atlas.holes) - (2.6 - 2.4 * np.sqrt(p["vacuoles"]))) * 2.5) * outside
    whole = 1 - 0.75 * vacuole

    # Actin fibres along the cell, a bright cortex, Golgi on one side of the nucleus, vesicles.
    index = np.round(angle / np.pi * FIBRE_ANGLES + rng.normal(0, 0.6, count)).astype(int) % FIBRE_ANGLES
    corners = rng.integers(0, SIZE, (count, 2))
    fibres = np.empty((count, WINDOW, WINDOW), np.float32)
    for i in range(count):
        y0, x0 = corners[i]
        box = (slice(y0, y0 + WINDOW), slice(x0, x0 + WINDOW))
        share = cells["fibre_coarse"][i]
        fibres[i] = (1 - share) * atlas.fibres[0][index[i]][box] + share * atlas.fibres[1][index[i]][box]
    side = rng.uniform(0, 2 * np.pi, count)
    reach = cells["nucleus_radius"] + 0.7 * cells["golgi_spread"]
    gy = axis[None, :, None] - (reach * np.sin(side)).astype(np.float32)[:, None, None]
    gx = axis[None, None, :] - (reach * np.cos(side)).astype(np.float32)[:, None, None]
    apart = (gy * gy + gx * gx) / (2 * p["golgi_spread"] ** 2)
    golgi = np.exp(-apart) * (0.25 + 1.2 * window(atlas.spots[1])) * (5.5 / p["golgi_spread"])
    rim = np.exp(-((depth * p["cell_radius"] / 2.2 - 0.8) ** 2))
    vesicles = window(atlas.spots[0])
    agp[:] = inside * (
        thick * (0.30 + p["fibres"] * fibres * (0.35 + 0.65 * outside)) * whole
        + 0.45 * p["cortex"] * rim
        + 0.8 * p["golgi"] * golgi * outside
        + p["vesicles"] * vesicles * outside
    )
    agp *= amount[1]

    tubular = mixed(atlas.tubules, cells["mito_coarse"])
    dotted = mixed(atlas.spots, cells["mito_coarse"]) * 1.3
    whole_share = 1 - p["mito_fragmented"]
    organelle = whole_share * tubular + p["mito_fragmented"] * dotted
    edge = np.maximum(from_nucleus - 0.9 * p["nucleus_radius"], 0) / p["mito_reach"]
    patchy = np.clip(1 + p["mito_patchy"] * window(atlas.patches), 0.1, None)
    mito[:] = amount[2] * inside * (0.10 * thick + outside * np.exp(-edge * np.sqrt(edge)) * organelle * patchy)

    reticulum = blend(window(atlas.grain[0]), window(atlas.grain[2]), cells["er_coarse"])
    fall = np.exp(-np.maximum(from_nucleus - p["nucleus_radius"], 0) / p["er_reach"])
    er[:] = amount[3] * inside * fall * np.clip(1 + p["er_contrast"] * reticulum, 0.1, None) * whole
    er *= 0.45 + 0.55 * outside

    granules = blend(window(atlas.grain[0]), window(atlas.grain[1]), cells["rna_coarse"])
    rna[:] = thick * np.clip(1 + p["rna_contrast"] * granules, 0.1, None) * whole * (0.55 + 0.45 * outside)
    rna[:, core, core] += 0.9 * p["nucleolus_contrast"] * nucleoli
    rna *= amount[4]
    return DrawnCells(light, depth, mask)
