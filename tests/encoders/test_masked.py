"""Masked tiles: which pixels belong to a cell, and what an encoder of them can know."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from campfire import encoders
from campfire.core.columns import CELL_KEYS
from campfire.core.errors import ConfigError, DataError
from campfire.encoders.embed import embed_plate
from campfire.encoders.masked import MaskedEncoder, MaskedTiles

SIZE = 32
CELLS = [(40.0, 40.0), (40.0, 52.0), (90.0, 90.0)]
"""Centres of the nuclei: the first two are 12 px apart, the third is alone."""


class Store:
    """Tiles of one field, as a tile store."""

    def __init__(self, images: NDArray[np.uint16], native: int = SIZE) -> None:
        self.images, self.channels = images, ["DNA", "ER"]
        self.index = keys().assign(row=np.arange(len(images)))
        self.metadata = {"native_size": native}

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        return self.images[rows]

    def to_counts(self, tiles: NDArray[np.uint16]) -> NDArray[np.float32]:
        return tiles.astype(np.float32)


def keys(count: int = len(CELLS)) -> pd.DataFrame:
    table = pd.DataFrame({name: [value] * count for name, value in zip(CELL_KEYS, ("P", "A01", "1", 0), strict=True)})
    return table.assign(**{CELL_KEYS[-1]: np.arange(1, count + 1, dtype=np.int32)})


def nuclei(scale: float = 1.0) -> pd.DataFrame:
    return keys().assign(y=[scale * y for y, _ in CELLS], x=[scale * x for _, x in CELLS])


def tiles(neighbour: int = 900) -> NDArray[np.uint16]:
    """Bright discs of 4 px radius on a background of 100 counts: the cell's own of 500, neighbours of `neighbour`."""
    made = np.full((len(CELLS), 2, SIZE, SIZE), 100, np.uint16)
    grid = np.indices((SIZE, SIZE)) - SIZE // 2
    for tile, (y, x) in zip(made, CELLS, strict=True):
        for other_y, other_x in CELLS:
            there = (grid[0] - (other_y - y)) ** 2 + (grid[1] - (other_x - x)) ** 2 <= 16
            tile[:, there] = 500 if (other_y, other_x) == (y, x) else neighbour
    return made


def test_neighbours_are_hidden_and_the_cell_is_unchanged() -> None:
    raw = tiles()
    masked = MaskedTiles(Store(raw), nuclei(), None)
    seen = masked.images[np.arange(3)]
    assert raw.max() == 900 and seen.max() == 500  # the array of the store is unchanged
    assert (seen[raw == 500] == 500).all() and (seen[raw == 900] == 100).all()
    assert np.array_equal(seen[2], raw[2])  # nothing is near the third
    assert np.array_equal(masked.to_counts(masked.read(np.arange(2))), seen[:2].astype(np.float32))
    # The border lies half-way between the two nuclei, 6 px from each.
    assert masked.shown(0)[SIZE // 2, SIZE // 2 + 6] and not masked.shown(0)[SIZE // 2, SIZE // 2 + 7]


def test_a_radius_also_hides_the_background() -> None:
    raw = tiles()
    raw[2, :, 0, 0] = 700  # a bright pixel in a corner
    seen = MaskedTiles(Store(raw), nuclei(), 8.0).images[slice(None)]
    assert seen[2].max() == 500 and (seen[2] == 500).sum() == (raw[2] == 500).sum()


def test_resampled_tiles_take_the_centres_of_their_own_pixels() -> None:
    plain = MaskedTiles(Store(tiles()), nuclei(), None)
    scaled = MaskedTiles(Store(tiles(), native=2 * SIZE), nuclei(scale=2.0), None)
    assert all(np.array_equal(plain.shown(row), scaled.shown(row)) for row in range(3))


def test_nuclei_without_their_tile_are_named() -> None:
    with pytest.raises(DataError, match="well A01: the table of nuclei has no nucleus 3 of site 1"):
        MaskedTiles(Store(tiles()), nuclei()[:2], None)


class Brightest:
    """The brightest pixel of each channel."""

    name, device, normalisation, digest = "brightest", "cpu", "tile", "1"

    def dim(self, channels: Any) -> int:
        return len(channels)

    def embed(self, images: torch.Tensor, channels: Any, statistics: Any = None) -> torch.Tensor:
        return images.float().amax(dim=(2, 3))


def test_what_only_neighbours_show_is_lost_and_what_the_cell_shows_is_kept() -> None:
    whole, encoder = Brightest(), MaskedEncoder(Brightest(), "masked", None)  # type: ignore[arg-type]
    for level in (300, 900):
        store = Store(tiles(neighbour=level))
        _, seen = embed_plate(encoder, encoder.masked(store, nuclei()), keys(), ["DNA"])
        assert (seen == 500).all()
    _, raw = embed_plate(whole, store, keys(), ["DNA"])  # type: ignore[arg-type]
    assert raw.ravel().tolist() == [900, 900, 500]
    assert encoder.digest != whole.digest != MaskedEncoder(Brightest(), "m", 8.0).digest  # type: ignore[arg-type]


def test_the_kind_wraps_any_other() -> None:
    spec = {"kind": "masked", "encoder": "simple", "radius": 10.0, "of": {"kind": "intensities"}}
    made = encoders.load(spec, "cpu")
    assert isinstance(made, MaskedEncoder) and made.radius == 10.0
    assert made.dim(["DNA"]) == encoders.load({"kind": "intensities"}, "cpu").dim(["DNA"])
    pooled = encoders.load({**spec, "of": {"kind": "random_cnn"}}, "cpu")
    assert isinstance(pooled, MaskedEncoder) and pooled.pooling == "mean" and not hasattr(made, "pooling")
    with pytest.raises(ConfigError, match="spec of encoder simple"):
        encoders.load({"kind": "masked", "encoder": "simple"}, "cpu")
