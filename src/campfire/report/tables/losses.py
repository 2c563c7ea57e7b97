"""What became of the sites and nuclei of every plate on their way to tiles: how many were left out, where and why."""

import pandas as pd

from campfire.core.columns import PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.images.quality import SITE_REASON
from campfire.report.tables.render import Table

KEPT = "kept"
MEANINGS = {
    "no row in load_data": "the gallery lists no image of the well",
    "missing": "an image is not in the gallery",
    "corrupt": "an image is damaged",
    "known bad": "an image is on the list of known bad ones",
    "edge": "cut by the field's edge",
    "border": "no room for the tile inside the field",
    "small": "smaller than nuclei.min_area_um2",
    "large": "larger than nuclei.max_area_um2",
}


def plate_losses(download: pd.DataFrame, quality: pd.DataFrame, nuclei: pd.DataFrame) -> pd.DataFrame:
    """Counts of one plate: a row per unit (well, site, nucleus) and outcome (`kept` or the reason), with `count`.

    download, quality, nuclei: the plate's three tables; of nuclei only Metadata_Plate and reason are needed. Wells
    count only when load_data lacks them; every site asked for counts once, under the first step that left it out.
    Raises DataError when the tables are of different plates.
    """
    plates = {str(name) for table in (download, quality, nuclei) for name in table[PLATE].unique()}
    if len(plates) != 1:
        raise DataError(f"download, quality and nuclei tables of one plate were expected, not of {sorted(plates)}")
    (plate,) = plates
    images = download[download[SITE] != ""]
    lost = images.groupby([WELL, SITE], sort=False)["status"].agg(list).map(_lost)
    absent = int(((download[WELL] != "") & (download[SITE] == "")).sum())
    sites = pd.Series([why for why in lost if why] + list(quality["reason"].replace("", KEPT)), dtype=object)
    parts = [
        pd.Series({"no row in load_data": absent} if absent else {}, dtype="int64"),
        sites.value_counts(),
        nuclei["reason"].replace("", KEPT).value_counts(),
    ]
    rows = [
        {PLATE: plate, "unit": unit, "outcome": str(outcome), "count": int(count)}
        for unit, counts in zip(("well", "site", "nucleus"), parts, strict=True)
        for outcome, count in counts.items()
    ]
    return pd.DataFrame(rows, columns=[PLATE, "unit", "outcome", "count"])


def _lost(status: list[str]) -> str:
    """Why a site was not fetched: its worst object's status; "" for one that was."""
    for bad in ("corrupt", "missing"):
        if bad in status:
            return bad
    return "known bad" if "excluded" in status else ""


def build(data: pd.DataFrame) -> Table:
    """One row per unit and outcome over all plates. data: the rows of `plate_losses` of every plate."""
    if data.empty:
        raise DataError("losses/counts.parquet: holds no plate; check the sheet")
    lines = []
    totals = data.groupby("unit")["count"].sum()
    for unit, plural in (("well", "Wells without images"), ("site", "Sites"), ("nucleus", "Nuclei")):
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
                    "Share": "" if unit == "well" else f"{100 * count / totals[unit]:.2f} %",
                    "Plates": f"{plates:,}",
                }
            )
    kept = data[data["outcome"] == KEPT].groupby("unit")["count"].sum()
    answer = (
        f"{kept.get('site', 0):,} of {totals.get('site', 0):,} sites were used, and {kept.get('nucleus', 0):,} of "
        f"{totals.get('nucleus', 0):,} nuclei became tiles."
    )
    notes = (
        "Sites are those of wells with a role in the split; each counts once, under the first step that left it out. "
        "Nuclei are all that were found in fetched sites.",
        "The csv has these numbers plate by plate; each single object, site and nucleus with its reason is in "
        "download/, quality/ and nuclei/.",
    )
    return Table(
        "What was left out on the way from images to tiles, and why.", data, pd.DataFrame(lines), notes, answer
    )


def _meaning(outcome: str) -> str:
    if outcome == KEPT:
        return ""
    if outcome.startswith(SITE_REASON):
        return "its site was left out"
    return MEANINGS.get(outcome, "by the thresholds in quality")
