"""Which wells are trained on and which are tested, under the protocols release, paper and strict."""

from campfire.core.columns import PROTOCOLS
from campfire.screen.split.assign import Split, assign_wells, make_split, plates_with_wells
from campfire.screen.split.options import SplitOptions
from campfire.screen.split.report import (
    evaluation_plates,
    reference_wells,
    wells_per_quadrant,
    write_plates,
    write_split,
)

__all__ = [
    "PROTOCOLS",
    "Split",
    "SplitOptions",
    "assign_wells",
    "evaluation_plates",
    "make_split",
    "plates_with_wells",
    "reference_wells",
    "wells_per_quadrant",
    "write_plates",
    "write_split",
]
