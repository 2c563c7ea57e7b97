"""A plate of random counts, and nuclei to cut tiles around."""

from typing import Any

import numpy as np
import pandas as pd

from support.nuclei_fields import write_folder

CHANNELS = ["DNA", "ER"]


KEYS = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Nucleus"]


def make_plate(
    folder: Any,
    wells: tuple[Any, ...] = ("A01", "B02"),
    n_sites: int = 11,
    per_site: int = 3,
    shape: tuple[Any, ...] = (150, 160),
    seed: int = 0,
) -> tuple[Any, ...]:
    """An image folder of random counts and a nuclei table whose rows are shuffled."""
    rng = np.random.default_rng(seed)
    images, rows = {}, []
    for well in wells:
        for site in range(1, n_sites + 1):
            images[(well, str(site))] = {
                channel: rng.integers(0, 65536, shape, dtype=np.uint16) for channel in CHANNELS
            }
            for nucleus in range(1, per_site + 1):
                y, x = rng.uniform(60, shape[0] - 60), rng.uniform(60, shape[1] - 60)
                rows.append(("P1", well, str(site), nucleus, np.float32(y), np.float32(x), nucleus != 2))
    write_folder(folder, images)
    nuclei = pd.DataFrame(rows, columns=[*KEYS, "y", "x", "kept"])
    return images, nuclei.sample(frac=1, random_state=seed).reset_index(drop=True)
