"""JUMP metadata: fetching the published tables, reading the sheet of plates, reading wells."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.screen.metadata.jump import (
    CONTROLS,
    NEGATIVE_CONTROL,
    PAPER_OOD_PLATES,
    POSITIVE_CONTROLS,
    ROLES,
    UNTREATED,
)

if TYPE_CHECKING:
    from campfire.screen.metadata.download import fetch, local_content
    from campfire.screen.metadata.tables import (
        SHEET_COLUMNS,
        empty_sheet,
        find_well_table,
        make_sheet,
        read_plates,
        read_sheet,
        read_structures,
        read_wells,
    )

__all__ = [
    "CONTROLS",
    "NEGATIVE_CONTROL",
    "PAPER_OOD_PLATES",
    "POSITIVE_CONTROLS",
    "ROLES",
    "SHEET_COLUMNS",
    "UNTREATED",
    "empty_sheet",
    "fetch",
    "find_well_table",
    "local_content",
    "make_sheet",
    "read_plates",
    "read_sheet",
    "read_structures",
    "read_wells",
]

__getattr__ = lazy(
    __name__,
    {
        "download": ["fetch", "local_content"],
        "tables": [
            "SHEET_COLUMNS",
            "empty_sheet",
            "find_well_table",
            "make_sheet",
            "read_plates",
            "read_sheet",
            "read_structures",
            "read_wells",
        ],
    },
)
