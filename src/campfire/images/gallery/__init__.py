"""Images from the Cell Painting Gallery's S3 bucket: index, plan, verified download, preflight."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.images.gallery.options import S3Options

if TYPE_CHECKING:
    from campfire.images.gallery.download import fetch_plate
    from campfire.images.gallery.index import parse_load_data, read_index
    from campfire.images.gallery.plan import (
        list_plate,
        plan_download,
        plan_plate,
        read_known_bad,
        summarise_plan,
        with_digests,
    )
    from campfire.images.gallery.preflight import check_source, differing, render_check

__all__ = [
    "S3Options",
    "check_source",
    "differing",
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

__getattr__ = lazy(
    __name__,
    {
        "download": ["fetch_plate"],
        "index": ["parse_load_data", "read_index"],
        "plan": ["list_plate", "plan_download", "plan_plate", "read_known_bad", "summarise_plan", "with_digests"],
        "preflight": ["check_source", "differing", "render_check"],
    },
)
