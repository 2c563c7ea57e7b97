"""Tiles: cells cut from a plate's images and packed into one memory-mappable file per plate."""

from campfire.core.options import TILE_SIZE
from campfire.images.tiles.cut import cut, fits, origins
from campfire.images.tiles.options import TileOptions
from campfire.images.tiles.reader import TileChecks, TilePlate, open_plate
from campfire.images.tiles.store import write_plate

__all__ = ["TILE_SIZE", "TileChecks", "TileOptions", "TilePlate", "cut", "fits", "open_plate", "origins", "write_plate"]
