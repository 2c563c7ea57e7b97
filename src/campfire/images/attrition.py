"""Attrition: how many sites and nuclei of a plate did not become tiles, and why."""

import pandas as pd

from campfire.core.columns import PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.screen.leave_out import LeaveOut, drop, whole_plates
from campfire.screen.leave_out import reasons as reasons_left_out

KEPT = "kept"
LEFT_OUT = "left out"
COLUMNS = [PLATE, "unit", "outcome", "count"]


def count_plates(leave_out: LeaveOut) -> pd.DataFrame:
    """Whole plates that are left out, in the columns of `count`."""
    rows = [{PLATE: plate, "unit": "plate", "outcome": LEFT_OUT, "count": 1} for plate in whole_plates(leave_out)]
    return pd.DataFrame(rows, columns=COLUMNS)


def count(
    download: pd.DataFrame, quality: pd.DataFrame, nuclei: pd.DataFrame, leave_out: LeaveOut | None = None
) -> pd.DataFrame:
    """Attrition of one plate: one row per unit (well, site, nucleus) and outcome (`kept` or the reason), with `count`.

    download, quality, nuclei: the plate's three tables; of nuclei only the keys of their site and reason are needed.
    Wells count only when load_data lacks them; every requested site counts once, under the first step that left it out.
    Sites of `leave_out` count as left out whether they were fetched before or not, and their nuclei do not count.
    Raises DataError when the tables are of different plates.
    """
    leave_out = leave_out or {}
    out = download[reasons_left_out(download, leave_out) != ""]
    by_hand = len(out.loc[out[SITE] != "", [WELL, SITE]].drop_duplicates())
    plates = {str(name) for table in (download, quality, nuclei) for name in table[PLATE].unique()}
    if len(plates) != 1:
        raise DataError(f"download, quality and nuclei tables of one plate were expected, not of {sorted(plates)}")
    (plate,) = plates
    download, quality, nuclei = (drop(table, leave_out) for table in (download, quality, nuclei))
    images = download[download[SITE] != ""]
    reasons = images.groupby([WELL, SITE], sort=False)["status"].agg(list).map(_why_not_fetched)
    absent = int(((download[WELL] != "") & (download[SITE] == "")).sum())
    sites = pd.Series([why for why in reasons if why] + list(quality["reason"].replace("", KEPT)), dtype=object)
    parts = [
        pd.Series({"no row in load_data": absent} if absent else {}, dtype="int64"),
        pd.concat([sites.value_counts(), pd.Series({LEFT_OUT: by_hand} if by_hand else {}, dtype="int64")]),
        nuclei["reason"].replace("", KEPT).value_counts(),
    ]
    rows = [
        {PLATE: plate, "unit": unit, "outcome": str(outcome), "count": int(count)}
        for unit, counts in zip(("well", "site", "nucleus"), parts, strict=True)
        for outcome, count in counts.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _why_not_fetched(status: list[str]) -> str:
    """Why a site was not fetched: its worst object's status; "" if it was fetched."""
    for bad in ("corrupt", "missing"):
        if bad in status:
            return bad
    return "known bad" if "excluded" in status else ""
