"""A plate from the bucket to its tiles through faults of network and data: no cell lost, doubled or changed."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.columns import CELL_KEYS, SITE, WELL
from campfire.core.errors import DataError
from campfire.images.nuclei import NucleiOptions, segment_plate
from campfire.images.tiles import TileOptions, TilePlate, open_plate, write_plate
from campfire.simulate import serve
from support.gallery_bucket import CHANNELS, Bucket, make_bucket
from support.gallery_fetch import ODD, fetch
from support.gallery_proxy import proxy_before
from support.nuclei_fields import simulate_field

SIZE = 32
DIAMETER = 16


def bucket_with_nuclei(root: Path, name: str) -> Bucket:
    bucket = make_bucket(root, name, wells=2)
    for number, (well, site) in enumerate(bucket.sites):
        dna, _ = simulate_field((160, 170), DIAMETER, 14, seed=number)
        for order, channel in enumerate(CHANNELS):
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, dna if channel == "DNA" else dna[::-1] // (order + 2), compression="lzw")
            bucket.put(bucket.key(well, site, channel), buffer.getvalue())
    return bucket


def to_tiles(bucket: Bucket, url: str, folder: Path, attempts: int = 2) -> TilePlate:
    """Download, nuclei and tiles as the workflow's three steps do them."""
    fetch(bucket, url, folder / "images", attempts=attempts)
    options = NucleiOptions(tile_size=SIZE, min_area_um2=0)
    nuclei, _ = segment_plate(folder / "images", 20 / DIAMETER, options)
    write_plate(folder / "tiles/P.npy", folder / "images", nuclei, CHANNELS, TileOptions(size=SIZE))
    assert sorted(path.name for path in (folder / "tiles").iterdir()) == ["P.npy", "P.parquet"]
    return open_plate(folder / "tiles/P.npy", verify="full")


def assert_same_cells(found: TilePlate, expected: TilePlate, without: tuple[str, str] | None = None) -> None:
    kept = np.ones(len(expected), dtype=bool)
    if without:
        kept = ~((expected.index[WELL] == without[0]) & (expected.index[SITE] == without[1])).to_numpy()
        assert 0 < kept.sum() < len(kept)
    pd.testing.assert_frame_equal(found.index[CELL_KEYS], expected.index.loc[kept, CELL_KEYS].reset_index(drop=True))
    assert np.array_equal(found.images, expected.images[kept])


def test_the_tiles_of_a_faulty_download_are_those_of_a_faultless_one(tmp_path: Path) -> None:
    bucket = bucket_with_nuclei(tmp_path / "s3", "chain-bucket")
    with serve(bucket.root) as url:
        expected = to_tiles(bucket, url, tmp_path / "faultless")
        assert len(expected) > 15
        with proxy_before(url) as proxy:
            for kind in ("503", "500", "reset", "empty", "wrong", "truncate"):
                proxy.fault(kind, ".tiff", times=1)
            assert_same_cells(to_tiles(bucket, proxy.url, tmp_path / "passing", attempts=8), expected)
            assert len(proxy.gets(".tiff")) == 7 * 12
        with proxy_before(url) as proxy:
            proxy.fault("404", "c02f01p01-ch1", times=None)
            assert_same_cells(to_tiles(bucket, proxy.url, tmp_path / "one site"), expected, ODD)
        with proxy_before(url) as proxy:
            proxy.fault("reset", "c02f01p01-ch1", times=None)
            with pytest.raises(DataError, match="S3 did not deliver"):
                to_tiles(bucket, proxy.url, tmp_path / "restarted")
            assert not (tmp_path / "restarted/tiles").exists()
        assert_same_cells(to_tiles(bucket, url, tmp_path / "restarted"), expected)
