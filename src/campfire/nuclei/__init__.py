"""Nuclei: found in the DNA channel, measured, and scored against a reference."""

from campfire.nuclei.match import Match, drop_edge_objects, match_objects
from campfire.nuclei.measure import measure
from campfire.nuclei.options import NucleiOptions, describe
from campfire.nuclei.plate import segment_plate
from campfire.nuclei.segment import segment

__all__ = ["Match", "NucleiOptions", "describe", "drop_edge_objects", "match_objects", "measure", "segment"]
__all__ += ["segment_plate"]
