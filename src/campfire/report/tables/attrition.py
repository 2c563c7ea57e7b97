"""Attrition: number of sites and nuclei left out between images and tiles, by reason."""

import pandas as pd

from campfire.core.columns import PLATE
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.images.attrition import KEPT
from campfire.images.quality import SITE_REASON
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.render import Table

MEANINGS = {
    "no row in load_data": "the gallery lists no image of the well",
    "missing": "an image is not in the gallery",
    "corrupt": "an image is damaged",
    "left out": "named in leave_out, or the whole plate is known bad",
    "known bad": "an image is on the list of known bad ones",
    "debris": "too bright for a cell: debris, fibre, dust or an out-of-focus clump",
    "edge": "cut by the field's edge",
    "border": "no room for the tile inside the field",
    "small": "smaller than nuclei.min_area_um2",
    "large": "larger than nuclei.max_area_um2",
}

REASONS = 3
"""Reasons for leaving nuclei out that the answer names."""


def build(data: pd.DataFrame) -> Table:
    """One row per unit and outcome over all plates. data: `images.attrition.count` of every plate, stacked."""
    if data.empty:
        raise DataError("attrition/counts.parquet: holds no plate; check the sheet")
    lines = []
    totals = data.groupby("unit")["count"].sum()
    for unit, plural in (
        ("plate", "Plates"),
        ("well", "Wells without images"),
        ("site", "Sites"),
        ("nucleus", "Nuclei"),
    ):
        part = data[data["unit"] == unit].groupby("outcome").agg(count=("count", "sum"), plates=(PLATE, "nunique"))
        part = part.sort_values("count", ascending=False, kind="stable")
        order = [KEPT] * (KEPT in part.index) + [outcome for outcome in part.index if outcome != KEPT]
        for number, outcome in enumerate(order):
            count, plates = (int(value) for value in part.loc[outcome])
            lines.append(
                {
                    "Of": plural if number == 0 else "",
                    "Outcome": outcome,
                    "Meaning": _meaning(outcome),
                    "Number": f"{count:,}",
                    "Share": "" if unit in ("plate", "well") else f"{100 * count / totals[unit]:.2f} %",
                    "Plates": f"{plates:,}",
                }
            )
    kept = data[data["outcome"] == KEPT].groupby("unit")["count"].sum()
    answer = (
        f"{kept.get('site', 0):,} of {totals.get('site', 0):,} sites were used, and {kept.get('nucleus', 0):,} of "
        f"{totals.get('nucleus', 0):,} nuclei became tiles{_why(data)}."
    )
    notes = (
        "Sites are those of wells with a role in the split; each counts once, under the first step that left it out. "
        "Nuclei are all that were found in fetched sites.",
        "The csv has these numbers plate by plate; each single object, site and nucleus with its reason is in "
        "download/, quality/ and nuclei/.",
    )
    return Table(
        "Attrition: sites and nuclei left out between images and tiles, by reason.",
        data,
        pd.DataFrame(lines),
        notes,
        answer,
    )


def _why(data: pd.DataFrame) -> str:
    """The most frequent reasons for which nuclei were left out, after a semicolon; "" if none was."""
    nuclei = data[(data["unit"] == "nucleus") & (data["outcome"] != KEPT)]
    counts = nuclei.groupby("outcome")["count"].sum().sort_values(ascending=False, kind="stable")
    counts = counts[counts > 0].head(REASONS)
    parts = [f"{count:,} {outcome} ({_meaning(str(outcome))})" for outcome, count in counts.items()]
    return f"; left out: {', '.join(parts)}" if parts else ""


def _meaning(outcome: str) -> str:
    if outcome == KEPT:
        return ""
    if outcome.startswith(SITE_REASON):
        return "its site was left out"
    return MEANINGS.get(outcome, "by the thresholds in quality")


def make(files: Files, settings: Settings) -> Table:
    """The table from attrition/counts.parquet."""
    return build(read_table(files["attrition"][0]))
