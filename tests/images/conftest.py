"""A plate of tiles that is cut anew for each test."""

from pathlib import Path
from typing import Any

import pytest

from campfire.images.tiles import write_plate
from support.tile_plates import CHANNELS, make_plate


@pytest.fixture
def plate(tmp_path: Path) -> tuple[Any, ...]:
    images, nuclei = make_plate(tmp_path / "images/P1")
    path = tmp_path / "tiles/P1.npy"
    write_plate(path, tmp_path / "images/P1", nuclei, CHANNELS, pixel_size_um=0.6, segmentation={"method": "classical"})
    return path, images, nuclei
