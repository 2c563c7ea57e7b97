"""Plates, wells and sites that the user leaves out of a run after its split is drawn (`leave_out` in the config).

An entry is a place, `PLATE`, `PLATE/WELL` or `PLATE/WELL/SITE`, and the reason. Because the split is drawn with these
wells and they are dropped afterwards, leaving one out moves no other well.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import PLATE, SITE, WELL
from campfire.screen.places import plate_of

LeaveOut = Mapping[str, str]
"""Place -> reason; plates as the sheet writes them, wells as A01."""


def whole_plates(leave_out: LeaveOut) -> dict[str, str]:
    """The entries that are whole plates."""
    return {place: reason for place, reason in leave_out.items() if "/" not in place}


def of_plates(leave_out: LeaveOut, plates: Iterable[str]) -> dict[str, str]:
    """The entries on these plates, sorted by place: a step that reads other plates does not depend on the rest."""
    chosen = set(plates)
    return {place: leave_out[place] for place in sorted(leave_out) if plate_of(place) in chosen}


def reasons(table: pd.DataFrame, leave_out: LeaveOut) -> NDArray[np.object_]:
    """Why each row of a table is left out, (N,); "" for rows that stay.

    `table` has Metadata_Plate, and may have Metadata_Well and Metadata_Site; an entry on a site needs the last.
    A reason that the user left empty reads "left out".
    """
    found = np.full(len(table), "", dtype=object)
    affected = np.flatnonzero(table[PLATE].isin({plate_of(place) for place in leave_out}).to_numpy())
    if not len(affected):
        return found
    rows = table.iloc[affected]
    places = rows[PLATE].astype(str)
    entries = {_without_zeros(place): reason or "left out" for place, reason in leave_out.items()}
    for column in (None, WELL, SITE):
        if column is not None:
            if column not in table:
                break
            names = rows[column].astype(str)
            places = places + "/" + (names.str.lstrip("0") if column == SITE else names)
        why = places.map(entries).to_numpy(dtype=object)
        hit = ~pd.isna(why)
        found[affected[hit]] = why[hit]
    return found


def drop(table: pd.DataFrame, leave_out: LeaveOut) -> pd.DataFrame:
    """The rows of a table (see `reasons`) that are not left out, with their index."""
    return table[reasons(table, leave_out) == ""] if leave_out else table


def unmatched(leave_out: LeaveOut, tables: Collection[pd.DataFrame]) -> list[str]:
    """Entries on wells and sites that match no row of tables with Metadata_Plate, Metadata_Well and Metadata_Site."""
    wanted = {place for place in leave_out if "/" in place}
    for table in tables:
        wanted -= {place for place in sorted(wanted) if (reasons(table, {place: "x"}) != "").any()}
    return sorted(wanted)


def _without_zeros(place: str) -> str:
    """A place whose site is written without leading zeros, as `reasons` compares them."""
    plate, *below = place.split("/")
    return "/".join([plate, *below[:1], *(site.lstrip("0") for site in below[1:])])
