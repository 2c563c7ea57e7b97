"""Names that every table shares: key columns, channels, split labels."""

from collections.abc import Sequence
from typing import Literal

PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
NUCLEUS = "Metadata_Nucleus"
SOURCE = "Metadata_Source"
BATCH = "Metadata_Batch"
PLATE_TYPE = "Metadata_PlateType"
COMPOUND = "Metadata_JCP2022"

WELL_KEYS = [PLATE, WELL]
SITE_KEYS = [PLATE, WELL, SITE]
CELL_KEYS = [PLATE, WELL, SITE, NUCLEUS]
"""Plate, well ("A01") and site are text as JUMP writes them; nucleus is the int32 label in its site."""

CHANNELS = ["DNA", "AGP", "Mito", "ER", "RNA"]
"""Channel names as in JUMP's URL_Orig<Channel> columns. Other screens may have others; the nuclear stain is DNA."""


def channel_order(channels: Sequence[str]) -> list[str]:
    """Channel names by the model's channel index: JUMP's, or the run's own order where it has other channels."""
    return list(CHANNELS) if set(channels) <= set(CHANNELS) else list(channels)


PAPER_CHANNELS = {"DNA": "Nu", "AGP": "Ac", "Mito": "M", "ER": "ER", "RNA": "cyRNA"}
"""How the paper's figures and tables name the channels."""

SPLITS = ["train", "val", "test", "test_ood_plate", "test_ood_compound", "test_ood_both", "unused"]

QUADRANTS = {
    "test": "ID compound + ID plate",
    "test_ood_plate": "ID compound + OOD plate",
    "test_ood_compound": "OOD compound + ID plate",
    "test_ood_both": "OOD compound + OOD plate",
}
"""The four evaluations of Table 3.1, in the paper's column order."""

TASK_QUADRANTS = {"control": ("test", "test_ood_plate"), "heldout": ("test_ood_compound", "test_ood_both")}
"""The probes (1 of 9 controls, 1 of 60 held-out compounds; section 3.2): their quadrants on ID and on OOD plates."""

ProtocolName = Literal["release", "paper", "strict"]
PROTOCOLS: tuple[ProtocolName, ...] = ("release", "paper", "strict")
"""As in the authors' code, as in the paper's text, and without known leakage (docs/decisions.md)."""
