"""Images from the Cell Painting Gallery's S3 bucket: index, plan, verified download, preflight."""

from campfire.gallery.client import connect
from campfire.gallery.download import fetch_plate
from campfire.gallery.index import parse_load_data, read_index
from campfire.gallery.options import S3Options
from campfire.gallery.plan import list_plate, plan_download, plan_plate, read_known_bad, summarise_plan, with_digests
from campfire.gallery.preflight import check_source, render_check

__all__ = [
    "S3Options",
    "check_source",
    "connect",
    "fetch_plate",
    "list_plate",
    "parse_load_data",
    "plan_download",
    "plan_plate",
    "read_index",
    "read_known_bad",
    "render_check",
    "summarise_plan",
    "with_digests",
]
