"""Which wells are trained on and which are tested, under the protocols release, paper and strict."""

from typing import TYPE_CHECKING

from campfire.core.columns import PROTOCOLS
from campfire.core.lazy import lazy
from campfire.screen.split.options import SplitOptions

if TYPE_CHECKING:
    from campfire.screen.split.assign import Split, assign_wells, check_plates, make_split, plates_with_wells
    from campfire.screen.split.report import (
        evaluation_plates,
        reference_wells,
        wells_by_plate,
        wells_per_quadrant,
        write_plates,
        write_split,
    )

__all__ = [
    "PROTOCOLS",
    "Split",
    "SplitOptions",
    "assign_wells",
    "check_plates",
    "evaluation_plates",
    "make_split",
    "plates_with_wells",
    "reference_wells",
    "wells_by_plate",
    "wells_per_quadrant",
    "write_plates",
    "write_split",
]

__getattr__ = lazy(
    __name__,
    {
        "assign": ["Split", "assign_wells", "check_plates", "make_split", "plates_with_wells"],
        "report": [
            *("evaluation_plates", "reference_wells", "wells_by_plate", "wells_per_quadrant", "write_plates"),
            "write_split",
        ],
    },
)
