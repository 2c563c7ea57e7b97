"""Embeddings of cells of two plates, moved apart, for tests of maps and of compounds' similarity."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def wells() -> pd.DataFrame:
    """Two plates in two batches with two controls and a held-out compound, two wells of each."""
    rows = [
        (plate, f"{'ABC'[number]}{copy:02d}", compound, batch, split)
        for plate, batch in (("P1", "B1"), ("P2", "B2"))
        for number, (compound, split) in enumerate([("C1", "train"), ("C2", "test"), ("H1", "test_ood_compound")])
        for copy in (1, 2)
    ]
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_JCP2022", "Metadata_Batch", "split"]
    return pd.DataFrame(rows, columns=columns)


def embedded(shift: float = 3.0) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Twelve cells a well around its compound's direction; plates are moved apart by `shift`."""
    table = wells()
    keys = table.loc[table.index.repeat(12), ["Metadata_Plate", "Metadata_Well"]].reset_index(drop=True)
    keys["Metadata_Site"], keys["Metadata_Nucleus"] = "1", np.arange(len(keys), dtype=np.int32)
    compound = keys.merge(table, on=["Metadata_Plate", "Metadata_Well"])["Metadata_JCP2022"]
    directions = {"C1": (0, 0, 0), "C2": (4, 0, 0), "H1": (0, 4, 0)}
    x = np.array([directions[name] for name in compound], dtype=np.float32)
    x += np.random.default_rng(0).normal(0, 0.3, x.shape)
    x[:, 2] += shift * (keys["Metadata_Plate"] == "P2").to_numpy()
    return keys, x.astype(np.float32)


def by_plate(keys: pd.DataFrame, x: NDArray[np.float32]) -> Iterator[tuple[pd.DataFrame, NDArray[np.float32]]]:
    for rows in keys.groupby("Metadata_Plate").indices.values():
        yield keys.iloc[rows].reset_index(drop=True), x[rows]
