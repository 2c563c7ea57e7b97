"""Summary and files of a split: wells per quadrant, its plates."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from campfire.core.columns import COMPOUND, PLATE, PLATE_TYPE, QUADRANTS, SPLITS, WELL
from campfire.core.files import write_table, write_text
from campfire.core.random import keyed_generator
from campfire.screen.split.assign import Split

RELEASE_LABELS = {
    "train": "train",
    "val": "val",
    "test": "test",
    "test_ood_plate": "test_out_plate_",
    "test_ood_compound": "test_out_compound",
    "test_ood_both": "test_out_all_",
    "unused": "NaN",
}
"""Our label: the released code's label on evaluation plates."""

MEANING = {
    "train": "pretraining and probe training",
    "val": "validation",
    **QUADRANTS,
    "unused": "no role",
}


def wells_per_quadrant(table: pd.DataFrame) -> pd.DataFrame:
    """Counts behind Figure 2.1: a row for each plate type and split label that occurs.

    Columns: Metadata_PlateType, split, meaning, plates, compounds, wells (int). Rows follow `keys.SPLITS`, evaluation
    plates before plates that are only trained on.
    """
    grouped = table.groupby([PLATE_TYPE, "split"], sort=True)
    counts = grouped.agg(plates=(PLATE, "nunique"), compounds=(COMPOUND, "nunique"), wells=(WELL, "size")).reset_index()
    evaluated = table.loc[~table["split"].isin(["train", "unused"]), PLATE_TYPE].unique()
    counts["_rank"] = counts["split"].map(SPLITS.index)
    counts["_last"] = ~counts[PLATE_TYPE].isin(evaluated)
    counts["meaning"] = counts["split"].map(MEANING)
    counts = counts.sort_values(["_last", PLATE_TYPE, "_rank"], ignore_index=True)
    return counts[[PLATE_TYPE, "split", "meaning", "plates", "compounds", "wells"]]


def evaluation_plates(table: pd.DataFrame) -> list[str]:
    """Plates with a val or test well, sorted: the plates whose cells are probed."""
    return sorted(table.loc[~table["split"].isin(["train", "unused"]), PLATE].unique())


def wells_by_plate(table: pd.DataFrame) -> dict[str, list[str]]:
    """Plate -> its wells with a role: those whose images are fetched."""
    used = table[table["split"] != "unused"]
    return {str(plate): list(rows) for plate, rows in used.groupby(PLATE)[WELL]}


def write_split(path: str | Path, split: Split) -> None:
    """Write split/wells.parquet with protocol, seed, options, held-out compounds, controls and counts in its schema."""
    write_table(split.wells, path, split.metadata)


def reference_wells(split: Split) -> pd.Series:
    """Wells used only to normalise a plate, (N,) bool: of the first control, on evaluation plates, without a role.

    The split's option `reference_wells` sets their number on each plate; each plate has its own draw.
    """
    chosen = pd.Series(False, index=split.wells.index)
    count, seed = split.metadata["options"]["reference_wells"], split.metadata["seed"]
    table = split.wells[split.wells[PLATE].isin(evaluation_plates(split.wells))]
    surplus = table[(table["split"] == "unused") & table[COMPOUND].isin(split.metadata["negative_controls"])]
    for plate, rows in surplus.groupby(PLATE):
        order = keyed_generator(seed, str(plate)).permutation(len(rows))
        chosen[rows.index[order[:count]]] = True
    return chosen


def write_plates(paths: Iterable[str | Path], split: Split) -> None:
    """Write the wells that have a role, one text file per plate with the header Metadata_Well; the name is the plate's.

    The files also list the plate's reference wells (`reference_wells`), which have no role. Remaking a split leaves the
    files of plates with unchanged wells byte for byte the same.
    """
    used = split.wells[(split.wells["split"] != "unused") | reference_wells(split)]
    wells = {plate: sorted(rows[WELL]) for plate, rows in used.groupby(PLATE)}
    for path in map(Path, paths):
        write_text(path, "\n".join([WELL, *wells.get(path.stem, [])]) + "\n")
