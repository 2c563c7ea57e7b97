"""The table of what was left out on the way from wells to tiles."""

from typing import Any

import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.images.attrition import count, count_plates
from campfire.report.tables import attrition


def plate_tables(plate: str = "P1") -> tuple[Any, ...]:
    """Download, quality and nuclei tables of a plate of six sites asked for and a well that load_data lacks."""
    keys = [("A01", "1"), ("A01", "2"), ("A02", "1"), ("A02", "2"), ("A03", "1"), ("A03", "2")]
    status = {("A01", "2"): ("excluded", "corrupt"), ("A02", "1"): ("missing", "excluded")}
    status[("A02", "2")] = ("excluded", "excluded")
    rows = [(plate, *key, *status.get(key, ("ok", "ok"))) for key in keys] + [(plate, "B01", "", "missing", "")]
    wide = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "DNA", "ER"])
    download = wide.melt(id_vars=list(wide.columns[:3]), var_name="channel", value_name="status").assign(reason="")
    download = download[download["status"] != ""]
    function = {"Metadata_Plate": plate, "Metadata_Well": "", "Metadata_Site": "", "channel": "DNA", "status": "ok"}
    download = pd.concat([download, pd.DataFrame([{**function, "reason": ""}])], ignore_index=True)
    fetched = {"Metadata_Well": ["A01", "A03", "A03"], "Metadata_Site": ["1", "1", "2"]}
    quality = pd.DataFrame({"Metadata_Plate": plate, **fetched, "reason": ["", "blurred", ""]})
    nuclei = pd.DataFrame({"Metadata_Plate": plate, "reason": ["", "", "edge", "site blurred", "border", ""]})
    return download, quality, nuclei


def test_attrition_counts_every_site_and_nucleus_once() -> None:
    counts = count(*plate_tables())
    assert {(row.unit, row.outcome): row.count for row in counts.itertuples(index=False, name="Row")} == {
        ("well", "no row in load_data"): 1,
        **{("site", why): 1 for why in ("corrupt", "missing", "known bad", "blurred")},
        ("site", "kept"): 2,
        **{("nucleus", why): 1 for why in ("edge", "border", "site blurred")},
        ("nucleus", "kept"): 3,
    }
    other = count(*plate_tables("P2"))
    table = attrition.build(pd.concat([counts, other]))
    assert table.answer == (
        "4 of 12 sites were used, and 6 of 12 nuclei became tiles; left out: 2 border (no room for the tile inside the "
        "field), 2 edge (cut by the field's edge), 2 site blurred (its site was left out)."
    )
    border = table.layout[table.layout["Outcome"] == "border"].iloc[0]
    assert (border["Number"], border["Share"], border["Plates"]) == ("2", "16.67 %", "2")
    assert list(table.layout["Of"].loc[lambda of: of != ""]) == ["Wells without images", "Sites", "Nuclei"]
    left_out = {"P1/A03/1": "fibre", "P1/A02": "empty", "P9": "lamp"}
    by_hand = pd.concat([count_plates(left_out), count(*plate_tables(), left_out), other])
    sites = by_hand[(by_hand["unit"] == "site") & (by_hand["Metadata_Plate"] == "P1")]
    assert dict(zip(sites["outcome"], sites["count"], strict=True)) == {"left out": 3, "corrupt": 1, "kept": 2}
    layout = attrition.build(by_hand).layout
    assert list(layout.iloc[0]) == ["Plates", "left out", attrition.MEANINGS["left out"], "1", "", "1"]
    with pytest.raises(DataError, match="of one plate"):
        count(*plate_tables()[:2], plate_tables("P2")[2])
    with pytest.raises(DataError, match="holds no plate"):
        attrition.build(counts.iloc[:0])
