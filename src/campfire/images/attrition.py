"""Attrition: how many sites and nuclei of a plate did not become tiles, and why."""

import pandas as pd

from campfire.core.columns import PLATE, SITE, WELL
from campfire.core.errors import DataError

KEPT = "kept"


def count(download: pd.DataFrame, quality: pd.DataFrame, nuclei: pd.DataFrame) -> pd.DataFrame:
    """Attrition of one plate: one row per unit (well, site, nucleus) and outcome (`kept` or the reason), with `count`.

    download, quality, nuclei: the plate's three tables; of nuclei only Metadata_Plate and reason are needed. Wells
    count only when load_data lacks them; every requested site counts once, under the first step that left it out.
    Raises DataError when the tables are of different plates.
    """
    plates = {str(name) for table in (download, quality, nuclei) for name in table[PLATE].unique()}
    if len(plates) != 1:
        raise DataError(f"download, quality and nuclei tables of one plate were expected, not of {sorted(plates)}")
    (plate,) = plates
    images = download[download[SITE] != ""]
    reasons = images.groupby([WELL, SITE], sort=False)["status"].agg(list).map(_why_not_fetched)
    absent = int(((download[WELL] != "") & (download[SITE] == "")).sum())
    sites = pd.Series([why for why in reasons if why] + list(quality["reason"].replace("", KEPT)), dtype=object)
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


def _why_not_fetched(status: list[str]) -> str:
    """Why a site was not fetched: its worst object's status; "" if it was fetched."""
    for bad in ("corrupt", "missing"):
        if bad in status:
            return bad
    return "known bad" if "excluded" in status else ""
