"""Which wells are trained on and which are tested, under the protocols release, paper and strict."""

from campfire.keys import PROTOCOLS
from campfire.split.assign import Split, assign_wells, make_split, plates_with_wells
from campfire.split.options import SplitOptions
from campfire.split.report import (
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
