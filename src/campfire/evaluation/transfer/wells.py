"""Well embeddings of the transfer screen and the Z' between its controls."""

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.evaluation.cells import check_finite, check_rows
from campfire.evaluation.transfer.head import Head
from campfire.evaluation.transfer.options import TransferOptions
from campfire.evaluation.well_means import group_means
from campfire.evaluation.zprime import METHODS, pairwise

logger = logging.getLogger(__name__)

WELL_COLUMNS = [*names.WELL_KEYS, "group", "control", "treatment", "role", "n_cells", "embedding"]
ZPRIME_COLUMNS = ["reference", "target", "role", "method", "zprime", "low", "high", "n_reference", "n_target"]


def well_numbers(keys: pd.DataFrame, sheet: pd.DataFrame) -> NDArray[np.intp]:
    """Row of `sheet` that each cell belongs to; DataError where a cell's well is not in the sheet."""
    wells = pd.MultiIndex.from_frame(sheet[names.WELL_KEYS])
    rows = wells.get_indexer(pd.MultiIndex.from_frame(keys[names.WELL_KEYS]))
    if (rows < 0).any():
        first = keys[rows < 0].iloc[0]
        raise DataError(
            f"transfer: plate {first[names.PLATE]}, well {first[names.WELL]} has embeddings but is not in the transfer "
            "sheet; add the well or drop its cells"
        )
    return rows


def embed_wells(
    head: Head | None, keys: pd.DataFrame, embeddings: NDArray[np.float32], sheet: pd.DataFrame
) -> pd.DataFrame:
    """Mean over each well's cells of the head's output, or of the frozen embedding when `head` is None.

    keys: (N,) cells, embeddings (N, D) in that order, sheet: `read_sheet`. Wells without cells are left out with a
    warning. Returns `transfer/{encoder}/wells.parquet` (docs/contracts.md) with the cells of each well as `n_cells`.
    """
    check_rows(keys, embeddings, "transfer")
    check_finite(keys, embeddings, "transfer")
    rows = well_numbers(keys, sheet)
    values = np.asarray(embeddings, np.float32) if head is None else head.embed_cells(embeddings)
    present, counts, means = group_means(rows, values)
    if head is not None:
        means = head.finish(means)
    empty = sheet.iloc[np.setdiff1d(np.arange(len(sheet)), present)]
    if len(empty):
        first = empty.iloc[0]
        logger.warning(
            "transfer: %d wells of the sheet have no cells, first plate %s, well %s",
            len(empty),
            first[names.PLATE],
            first[names.WELL],
        )
    table = sheet.iloc[present].reset_index(drop=True).assign(n_cells=counts, embedding=list(means))
    return table[WELL_COLUMNS]


def control_zprime(wells: pd.DataFrame, options: TransferOptions | None = None) -> pd.DataFrame:
    """Z' of every pair of control groups (`neg-M1`, `pos-M1`, ...), within held-out and within training plates.

    wells: `embed_wells`. The paper's Figure 3.5 shows the held-out plates; training plates are listed by their role so
    that overfitting can be seen. Returns `transfer/{encoder}/zprime.parquet` (docs/contracts.md).
    """
    options = options or TransferOptions()
    tables = []
    for role in ("heldout", "train"):
        controls = wells[(wells["role"] == role) & (wells["control"] != "")]
        groups = controls["control"] + "-" + controls["group"]
        single = sorted(str(name) for name, count in groups.value_counts().items() if count < 2)
        if single:
            logger.warning("transfer: %s plates have one well of %s; it has no spread, so no Z'", role, single)
        controls, groups = controls[~groups.isin(single)], groups[~groups.isin(single)]
        labels = groups.to_numpy(object)
        if len(set(labels)) < 2:
            logger.warning("transfer: %s plates have %d control groups; no Z' is possible", role, len(set(labels)))
            continue
        table = pairwise(
            np.stack(controls["embedding"].tolist()),
            labels,
            METHODS,
            options.zprime_ddof,
            options.replicates,
            options.level,
            options.seed,
        )
        tables.append(table.assign(role=role))
    if not tables:
        raise DataError(
            "transfer: no role has two control groups of at least two wells; fill in `group` and `control` in the "
            "transfer sheet, or leave out figure 3.5 and the transfer table"
        )
    return pd.concat(tables, ignore_index=True)[ZPRIME_COLUMNS]
