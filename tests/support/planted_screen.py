"""Screens with planted effects of compounds, plates and wells, as samples with embeddings."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.probes import ProbeOptions

PLATES, OOD, COMPOUNDS, CELLS, DIM = 7, 3, 8, 6, 8
OPTIONS = ProbeOptions(subsets=2, folds=3, epochs=30, patience=8, learning_rate=0.02, variants=())
SPLITS = ["train"] * 4 + ["val", "test", "test"]
Embedded = tuple[pd.DataFrame, NDArray[np.float32]]


def screen(seed: int, signal: float = 1.0, well_sd: float = 0.5, plate_sd: float = 0.5) -> Embedded:
    """Sample and embeddings; half of the compounds held out, one well of each on every plate, the last plates OOD."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(0, signal, (COMPOUNDS, DIM))
    rows, values = [], []
    for plate in range(PLATES + OOD):
        shift = rng.normal(0, plate_sd, DIM)
        for compound in range(COMPOUNDS):
            held_out = compound >= COMPOUNDS // 2
            split = "test_ood_compound" if held_out else SPLITS[(plate + compound) % 7]
            if plate >= PLATES:
                split = "test_ood_both" if held_out else "test_ood_plate"
            well = effect[compound] + shift + rng.normal(0, well_sd, DIM)
            for cell in range(CELLS):
                key = (f"P{plate}", f"B{compound + 1:02d}", "1", cell)
                rows.append(("heldout" if held_out else "control", *key, f"J{compound}", split, len(rows)))
                values.append(well + rng.normal(0, 1, DIM))
    columns = ["task", *names.CELL_KEYS, names.COMPOUND, "split", "order"]
    sample = pd.DataFrame(rows, columns=columns).astype({names.NUCLEUS: "int32"})
    return sample.assign(protocol="strict"), np.array(values, np.float32)
