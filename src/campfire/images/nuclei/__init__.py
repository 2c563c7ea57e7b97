"""Nuclei: segmented in the DNA channel, measured, and scored against a reference."""

from campfire.images.nuclei.debris import Segmentation
from campfire.images.nuclei.match import Match, drop_edge_objects, match_objects
from campfire.images.nuclei.measure import measure
from campfire.images.nuclei.options import describe
from campfire.images.nuclei.outlines import outline_sites
from campfire.images.nuclei.plate import segment_plate
from campfire.images.nuclei.segment import segment, segment_all
from campfire.images.options import NucleiOptions

__all__ = ["Match", "NucleiOptions", "describe", "drop_edge_objects", "match_objects", "measure", "segment"]
__all__ += ["Segmentation", "outline_sites", "segment_all", "segment_plate"]
