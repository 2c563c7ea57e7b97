"""What the page browses: plates and wells, all in the page, and the sites, nuclei and cells of a plate beside it.

Columns are lists and names are numbers into a list, because 262 plates have a hundred thousand wells. Counts come from
the tables of quality and nuclei; a plate without them (results made from embeddings) has none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import COMPOUND, NUCLEUS, PLATE, QUADRANTS, SITE, WELL
from campfire.core.files import read_table, read_table_metadata
from campfire.images.quality import SITE_REASON
from campfire.report.tables.options import TableOptions

SPLIT_NAMES = {
    **QUADRANTS, "train": "Training", "val": "Validation", "unused": "Not used", "transfer": "Transfer screen"
}  # fmt: skip
MEASURES = ("focus", "saturated", "background", "debris")
"""Measures of a site that the page shows, of the DNA channel where there are several."""


@dataclass(frozen=True)
class PlateFiles:
    """A plate and its files; an empty path where there is none."""

    facts: Mapping[str, str]
    """plate, batch, type, role."""
    quality: str = ""
    nuclei: str = ""
    pictures: str = ""
    """Table of the small pictures (`page.pictures`)."""

    @property
    def name(self) -> str:
        """The plate's name."""
        return self.facts["plate"]


@dataclass(frozen=True)
class PlateSummary:
    """A plate as the page lists it: its row, its wells, and its details (sites, nuclei, cells)."""

    row: dict[str, Any]
    wells: pd.DataFrame
    """Metadata_Well, sites, kept, nuclei, cells, reasons (set of texts); no row without images."""
    details: dict[str, Any]


def read_plate(files: PlateFiles) -> PlateSummary:
    """Everything that the page shows of a plate, from its tables."""
    row: dict[str, Any] = {**files.facts, "sites": None, "kept": None, "nuclei": None, "cells": None, "pictures": False}
    empty = pd.DataFrame(columns=[WELL, "sites", "kept", "nuclei", "cells", "reasons"])
    if not files.quality or not files.nuclei:
        return PlateSummary(row, empty, {})
    quality, nuclei = read_table(files.quality), read_table(files.nuclei)
    for table in (quality, nuclei):
        table[WELL], table[SITE] = table[WELL].astype(str), table[SITE].astype(str)
    wells = count_wells(quality, nuclei)
    row.update({name: int(wells[name].sum()) for name in ("sites", "kept", "nuclei", "cells")})
    details = {"plate": files.name, "sites": _sites(quality, nuclei)}
    if files.pictures:
        row["pictures"] = True
        details |= _placed(read_table(files.pictures), read_table_metadata(files.pictures), nuclei)
    return PlateSummary(row, wells, details)


def count_wells(quality: pd.DataFrame, nuclei: pd.DataFrame) -> pd.DataFrame:
    """One row per well: sites, kept (sites), nuclei, cells (nuclei that are kept), reasons (why any was left out).

    quality, nuclei: the plate's tables.
    """
    sites = quality.groupby(WELL).agg(sites=(SITE, "size"), kept=("kept", "sum"))
    counted = nuclei.groupby(WELL).agg(nuclei=("kept", "size"), cells=("kept", "sum"))
    wells = sites.join(counted).fillna(0).astype(int)
    lost = pd.concat(
        [
            quality.loc[~quality["kept"], [WELL, "reason"]].assign(kind=SITE_REASON),
            nuclei.loc[~nuclei["kept"] & ~nuclei["reason"].str.startswith(SITE_REASON), [WELL, "reason"]].assign(
                kind="nucleus "
            ),
        ]
    )
    texts = (lost["kind"] + lost["reason"]).groupby(lost[WELL]).agg(set)
    wells["reasons"] = [texts.get(well, set()) for well in wells.index]
    return wells.reset_index()


def _sites(quality: pd.DataFrame, nuclei: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns of the plate's sites, in plate order: well, site, reason, nuclei, cells, and the measures it has."""
    counted = nuclei.groupby([WELL, SITE])["kept"].agg(["size", "sum"])
    counted = counted.reindex(pd.MultiIndex.from_frame(quality[[WELL, SITE]]), fill_value=0)
    columns: dict[str, list[Any]] = {
        "well": quality[WELL].tolist(), "site": quality[SITE].tolist(), "reason": quality["reason"].tolist(),
        "nuclei": counted["size"].tolist(), "cells": counted["sum"].tolist(),
    }  # fmt: skip
    for measure in MEASURES:
        found = [name for name in (f"{measure}_DNA", measure) if name in quality]
        found += [name for name in quality.columns if name.startswith(f"{measure}_")]
        if found:
            columns[measure] = [_short(value) for value in quality[found[0]]]
    return columns


def _short(value: float) -> float | None:
    """A number with four digits; None for one that is not finite, for which JSON has no word."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def _placed(table: pd.DataFrame, facts: Mapping[str, Any], nuclei: pd.DataFrame) -> dict[str, Any]:
    """Facts of the sheets, pictures of sites and cells by place, and the nuclei of each pictured site.

    A site has nuclei as x, y (px of its picture), number and reason ("" for a kept one).
    """
    is_site = table[NUCLEUS] == -1
    groups = dict(iter(nuclei.groupby([WELL, SITE])))
    cells = dict(iter(table[~is_site].groupby([WELL, SITE])))
    pictures = []
    for row in table[is_site].sort_values("place").to_dict("records"):
        keys = (row[WELL], row[SITE])
        own = groups.get(keys, nuclei.iloc[:0])
        shown = cells.get(keys, table.iloc[:0])
        pictures.append(
            {
                "well": keys[0],
                "site": keys[1],
                "place": row["place"],
                "x": _whole(own["x"].to_numpy() / facts["step"]),
                "y": _whole(own["y"].to_numpy() / facts["step"]),
                "nucleus": own[NUCLEUS].tolist(),
                "reason": own["reason"].tolist(),
                "cells": [[int(n), int(k)] for n, k in zip(shown[NUCLEUS], shown["place"], strict=True)],
            }
        )
    return {"facts": dict(facts), "pictures": pictures}


def _whole(values: NDArray[Any]) -> list[int]:
    return [int(value) for value in np.rint(values)]


def index(
    plates: Iterable[PlateSummary], roles: pd.DataFrame, options: TableOptions, title: str = ""
) -> dict[str, Any]:
    """What the page itself holds: plates, compounds, splits, reasons, and the wells as columns.

    roles: Metadata_Plate, Metadata_Well, Metadata_JCP2022, split, of every well that has one; a well without images
    is listed with zero sites where its plate has images.
    """
    plates = list(plates)
    parts = []
    known = dict(iter(roles.groupby(PLATE)))
    for number, plate in enumerate(plates):
        own = known.get(plate.row["plate"], roles.iloc[:0])
        wells = own[[WELL, COMPOUND, "split"]].merge(plate.wells, on=WELL, how="outer").sort_values(WELL)
        parts.append(wells.assign(plate=number))
    wells = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    compounds = sorted(set(wells.get(COMPOUND, pd.Series(dtype=str)).dropna()))
    splits = [name for name in SPLIT_NAMES if name in set(wells.get("split", []))]
    found = [reasons for reasons in wells.get("reasons", []) if isinstance(reasons, set)]
    reasons = sorted(set().union(*found)) if found else []
    return {
        "title": title,
        "plates": [plate.row for plate in plates],
        "compounds": [[name, options.compound_name(name)] for name in compounds],
        "splits": [SPLIT_NAMES[name] for name in splits],
        "reasons": reasons,
        "wells": _columns(wells, compounds, splits, reasons) if len(wells) else {},
    }


def _columns(
    wells: pd.DataFrame, compounds: Sequence[str], splits: Sequence[str], reasons: Sequence[str]
) -> dict[str, list[Any]]:
    """The wells as lists; names are numbers into the lists, -1 for none; a well may have several reasons."""
    counts = wells[["sites", "kept", "nuclei", "cells"]].astype(float).fillna(0).astype(int)
    return {
        "plate": wells["plate"].astype(int).tolist(),
        "well": wells[WELL].tolist(),
        "compound": _numbers(wells[COMPOUND], compounds),
        "split": _numbers(wells["split"], splits),
        **{str(name): counts[name].tolist() for name in counts},
        "reasons": [_numbers(sorted(own), reasons) if isinstance(own, set) else [] for own in wells["reasons"]],
    }


def _numbers(values: Iterable[Any], names: Sequence[str]) -> list[int]:
    order = {name: number for number, name in enumerate(names)}
    return [order.get(value, -1) for value in values]


def read_roles(wells: str | Path, transfer: pd.DataFrame | None) -> pd.DataFrame:
    """Plate, well, compound and split of every well of the split and of the transfer screen.

    wells: split/wells.parquet, "" for none. transfer: the sheet of the transfer screen; its wells have a treatment.
    """
    columns = [PLATE, WELL, COMPOUND, "split"]
    parts = [read_table(wells)[columns]] if wells else []
    if transfer is not None:
        named = transfer.assign(split="transfer").rename(columns={"treatment": COMPOUND})
        parts.append(named[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns, dtype=str)
