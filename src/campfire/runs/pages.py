"""What the page to browse and the Snakemake report show of a run's plates."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire import report
from campfire.core.columns import BATCH, PLATE, PLATE_TYPE
from campfire.core.digests import file_sha256
from campfire.runs.files import drawable
from campfire.runs.results import Results
from campfire.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

ASSETS = Path(report.__file__).parent / "page/assets"
"""Template, style and script of the page: a change of them rewrites it."""
REPORTED_PLATES = 3
"""Plates whose contact sheet and layout are in the Snakemake report, which embeds every picture that it shows."""


def reported_plates(run: Run) -> list[str]:
    """The plates whose pictures are in the Snakemake report: a few, spread over the sheets; the page has all."""
    plates = run.all_plates
    count = min(REPORTED_PLATES, len(plates))
    return [plates[k * (len(plates) - 1) // max(1, count - 1)] for k in range(count)]


def pictured_plates(run: Run) -> list[str]:
    """Plates of which the page has, or will have, small pictures of sites and cells."""
    if run.from_embeddings:
        return []
    return drawable(run.files, lambda plate: run.files.page_pictures(plate)["pictures"], run.all_plates)


def page_plates(run: Run) -> list[tuple[dict[str, str], dict[str, str]]]:
    """For each plate that the page lists what its sheet says, and its files by name (quality, nuclei, pictures)."""
    pictured = set(pictured_plates(run))
    listed = []
    for facts in plate_facts(run.sheet, run.transfer_sheet):
        plate = facts["plate"]
        found = {"quality": run.files.quality(plate), "nuclei": run.files.nuclei(plate)}
        if plate in pictured:
            found["pictures"] = run.files.page_pictures(plate)["pictures"]
        listed.append((facts, found if len(run.available(found.values())) == len(found) else {}))
    return listed


def page_parameters(results: Results) -> dict[str, Any]:
    """What the page depends on besides its files, as parameters of its rule."""
    run = results.run
    return {
        "plates": page_plates(run),
        "settings": results.page_settings("Campfire run"),
        "transfer": run.config.transfer.sheet,
        "assets": {path.name: file_sha256(path) for path in sorted(ASSETS.iterdir())},
    }


def plate_facts(sheet: "pd.DataFrame", transfer: "pd.DataFrame | None") -> list[dict[str, str]]:
    """plate, batch, type and role of every plate of both sheets, in their order."""
    facts = [
        {"plate": row[PLATE], "batch": row[BATCH], "type": row[PLATE_TYPE], "role": row["role"]}
        for row in sheet[[PLATE, BATCH, PLATE_TYPE, "role"]].astype(str).to_dict("records")
    ]
    if transfer is not None:
        plates = transfer.drop_duplicates(PLATE).sort_values(PLATE)
        facts += [
            {"plate": row[PLATE], "batch": row[BATCH], "type": "transfer", "role": row["role"]}
            for row in plates[[PLATE, BATCH, "role"]].astype(str).to_dict("records")
        ]
    return facts
