"""Tiles: cells cut from a plate's images and packed into one memory-mappable file per plate."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.core.options import TILE_SIZE
from campfire.images.tiles.options import TileOptions

if TYPE_CHECKING:
    from campfire.images.tiles.cut import fits, origins
    from campfire.images.tiles.reader import TileChecks, TilePlate, open_plate
    from campfire.images.tiles.store import write_plate

__all__ = ["TILE_SIZE", "TileChecks", "TileOptions", "TilePlate", "fits", "open_plate", "origins", "write_plate"]

__getattr__ = lazy(
    __name__,
    {"cut": ["fits", "origins"], "reader": ["TileChecks", "TilePlate", "open_plate"], "store": ["write_plate"]},
)
