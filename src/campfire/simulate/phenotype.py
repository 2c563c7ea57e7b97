"""What simulated cells look like: parameters of a cell, cell kinds, and what a treatment changes.

A treatment is a mixture of a few mechanisms. A mechanism moves several parameters at once, and so several channels;
treatments that share a mechanism overlap. Intensities alone carry little information: texture and shape change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PARAMETERS: dict[str, tuple[float, float]] = {
    # name: (value in an untreated cell, spread between cells); lengths in pixels of 0.598 um
    "nucleus_radius": (16.0, 0.11),
    "nucleus_aspect": (1.25, 0.08),
    "nucleus_lobes": (0.04, 0.4),
    "chromatin_contrast": (0.22, 0.25),
    "chromatin_coarse": (0.30, 0.3),
    "nucleoli": (3.2, 0.25),
    "nucleolus_radius": (2.7, 0.15),
    "nucleolus_contrast": (1.0, 0.2),
    "cell_radius": (38.0, 0.13),
    "cell_aspect": (1.45, 0.15),
    "protrusions": (0.11, 0.3),
    "fibres": (0.55, 0.3),
    "fibre_coarse": (0.35, 0.3),
    "cortex": (0.55, 0.3),
    "golgi": (1.3, 0.3),
    "golgi_spread": (7.0, 0.2),
    "vesicles": (0.25, 0.4),
    "mito_fragmented": (0.25, 0.3),
    "mito_coarse": (0.35, 0.3),
    "mito_reach": (16.0, 0.2),
    "mito_patchy": (0.35, 0.3),
    "er_contrast": (0.30, 0.25),
    "er_coarse": (0.35, 0.3),
    "er_reach": (24.0, 0.15),
    "vacuoles": (0.05, 0.5),
    "rna_contrast": (0.20, 0.25),
    "rna_coarse": (0.40, 0.3),
}
"""A treatment multiplies a parameter by exp(effect); parameters that are fractions stay below 1."""

FRACTIONS = (
    "chromatin_coarse",
    "fibre_coarse",
    "mito_fragmented",
    "mito_coarse",
    "mito_patchy",
    "er_coarse",
    "vacuoles",
    "rna_coarse",
)

LIMITS: dict[str, tuple[float, float]] = {
    "nucleus_radius": (9.0, 23.0),
    "nucleus_aspect": (1.0, 2.2),
    "nucleus_lobes": (0.0, 0.10),
    "chromatin_contrast": (0.0, 0.8),
    "nucleolus_radius": (1.0, 7.0),
    "er_contrast": (0.0, 0.7),
    "rna_contrast": (0.0, 0.6),
    "cell_radius": (20.0, 52.0),
    "cell_aspect": (1.0, 3.5),
    "protrusions": (0.0, 0.25),
    "golgi_spread": (3.0, 24.0),
    "mito_reach": (4.0, 50.0),
}
"""Smallest and largest value of a parameter, so that even a strong treatment leaves a plausible cell."""

MECHANISMS: dict[str, dict[str, float]] = {
    "mitochondrial fission": {"mito_fragmented": 1.6, "mito_reach": 0.6, "mito_coarse": 0.5, "rna_contrast": 0.3},
    "mitochondrial collapse": {"mito_reach": -1.0, "mito_patchy": 0.5, "er_reach": -0.4},
    "mitochondrial fusion": {"mito_fragmented": -1.7, "mito_coarse": 1.4, "mito_reach": 0.4, "mito_patchy": -0.6},
    "actin loss": {"fibres": -1.2, "cortex": 0.5, "cell_aspect": -0.2},
    "stress fibres": {"fibres": 0.6, "fibre_coarse": 0.7, "cell_aspect": 0.25, "cortex": -0.4},
    "golgi dispersal": {"golgi_spread": 0.8, "golgi": -0.2, "vesicles": 0.4},
    "endosomal swelling": {"vesicles": 1.1, "vacuoles": 0.7, "rna_contrast": 0.3},
    "chromatin condensation": {"chromatin_contrast": 0.9, "chromatin_coarse": 1.2, "nucleus_radius": -0.20},
    "polyploidy": {"nucleus_radius": 0.24, "nucleus_lobes": 0.6, "cell_radius": 0.12},
    "nucleolar stress": {
        "nucleoli": -0.8,
        "nucleolus_radius": 0.5,
        "chromatin_contrast": -0.9,
        "nucleus_aspect": 0.35,
        "rna_contrast": -0.4,
    },
    "ER stress": {"er_coarse": 1.0, "er_contrast": 0.7, "vacuoles": 0.8},
    "ribosome block": {"nucleolus_contrast": -0.8, "rna_coarse": 0.8, "er_contrast": -0.5, "cell_radius": -0.10},
}
FAMILIES = [
    ["mitochondrial fission", "mitochondrial collapse", "mitochondrial fusion"],
    ["actin loss", "stress fibres", "golgi dispersal", "endosomal swelling"],
    ["chromatin condensation", "polyploidy", "nucleolar stress"],
    ["ER stress", "ribosome block"],
]
"""Mechanisms by the compartment they act on most; a treatment combines different families."""

CELL_KINDS: dict[str, dict[str, float]] = {
    "U2OS": {},
    "M1": {
        "nucleus_radius": -0.22,
        "nucleus_aspect": 0.10,
        "cell_radius": -0.10,
        "cell_aspect": -0.25,
        "protrusions": -0.5,
        "cortex": 0.7,
        "fibres": -0.9,
        "vesicles": 0.7,
        "mito_reach": -0.2,
    },
    "M2": {
        "nucleus_radius": -0.22,
        "nucleus_aspect": 0.15,
        "cell_radius": -0.20,
        "cell_aspect": 0.55,
        "protrusions": 0.5,
        "cortex": 0.3,
        "fibres": -0.5,
        "vesicles": 0.4,
        "golgi": 0.3,
    },
}
"""Cell kinds as shifts of the untreated U2OS-like cell, in the units of an effect; M1 and M2 are macrophage-like."""


@dataclass(frozen=True)
class Treatment:
    """A simulated perturbation: mechanism -> strength (1 is a clear effect; empty is a vehicle)."""

    name: str
    mechanisms: dict[str, float]

    def effect(self) -> dict[str, float]:
        """Summed log-effect of each parameter that changes."""
        total: dict[str, float] = {}
        for mechanism, strength in self.mechanisms.items():
            for parameter, change in MECHANISMS[mechanism].items():
                total[parameter] = total.get(parameter, 0.0) + strength * change
        return total


def draw_treatments(names: list[str], rng: np.random.Generator, strength: tuple[float, float]) -> list[Treatment]:
    """Draw two mechanisms of different families for each name; no two treatments get the same pair while pairs last.

    Families follow a cycle, so every compartment is hit about equally often in any panel.
    """
    pairs = [
        (first, second)
        for a in range(len(FAMILIES))
        for b in range(a + 1, len(FAMILIES))
        for first in FAMILIES[a]
        for second in FAMILIES[b]
    ]
    used = dict.fromkeys(MECHANISMS, 0)
    taken: set[tuple[str, str]] = set()
    treatments = []
    for name in names:
        free = [pair for pair in pairs if pair not in taken] or pairs
        # The least used mechanisms first, ties at random: panels are balanced without being designed.
        order = rng.permutation(len(free))
        best = min(order, key=lambda i: used[free[i][0]] + used[free[i][1]])
        pair = free[int(best)]
        taken.add(pair)
        for mechanism in pair:
            used[mechanism] += 1
        levels = rng.uniform(strength[0], strength[1], size=2)
        treatments.append(Treatment(name, {m: round(float(s), 3) for m, s in zip(pair, levels, strict=True)}))
    return treatments


def draw_cells(
    count: int,
    effects: list[dict[str, float]],
    penetrance: float,
    rng: np.random.Generator,
    treated: dict[str, float] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Parameters of `count` cells, one float32 array (count,) per name.

    `effects` (cell kind, plate, well) shift every cell. `treated` acts on each cell with its own strength: a share
    `1 - penetrance` of the cells does not respond, the others respond around 1.
    """
    response = np.where(rng.random(count) < penetrance, rng.lognormal(0.0, 0.25, count), 0.0)
    cells = {}
    for name, (value, spread) in PARAMETERS.items():
        log = rng.normal(0.0, spread, count) + sum(effect.get(name, 0.0) for effect in effects)
        if treated and name in treated:
            log = log + response * treated[name]
        drawn = value * np.exp(log)
        if name in FRACTIONS:
            drawn = drawn / (1.0 + np.maximum(drawn - 0.5, 0.0))
            drawn = np.minimum(drawn, 0.98)
        if name in LIMITS:
            drawn = np.clip(drawn, *LIMITS[name])
        cells[name] = drawn.astype(np.float32)
    return cells
