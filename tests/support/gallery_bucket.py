"""Small buckets in the gallery's layout: real TIFFs of random fields, and load_data in each of its styles."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from campfire.images.gallery import S3Options

SOURCE, BATCH, PLATE = "source_3", "CP59", "BR5867a3"
FOLDER = "BR5867a3__2022-04-29T01_02_16-Measurement 1"
CHANNELS = ["DNA", "AGP", "Mito"]
NUMBERS = {"AGP": 1, "Mito": 2, "DNA": 3}
ROOT = f"cpg0016-jump/{SOURCE}"

QUICK = {
    "connect_timeout_s": 1.0,
    "read_timeout_s": 0.4,
    "attempts": 4,
    "patience_s": 0,
    "backoff_s": 0.01,
    "workers": 4,
    "disk_reserve_gb": 0.0,
    "max_bad_share": 0.5,
}


def tiff(seed: int, shape: tuple[int, int] = (48, 40), compression: str | None = "lzw") -> bytes:
    """A 2-D uint16 TIFF of smooth counts around 800."""
    image = np.random.default_rng(seed).poisson(800, shape).astype(np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, compression=compression)
    return buffer.getvalue()


@dataclass
class Bucket:
    """A bucket folder below `root`, its sites, and what a faultless download holds."""

    root: Path
    name: str
    sites: list[tuple[str, str]]
    channels: list[str] = field(default_factory=lambda: list(CHANNELS))

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def wells(self) -> list[str]:
        return sorted({well for well, _ in self.sites})

    def key(self, well: str, site: str, channel: str) -> str:
        row, column = "ABCDEFGHIJKLMNOP".index(well[0]) + 1, int(well[1:])
        name = f"r{row:02d}c{column:02d}f{int(site):02d}p01-ch{NUMBERS[channel]}sk1fk1fl1.tiff"
        return f"{ROOT}/images/{BATCH}/images/{FOLDER}/Images/{name}"

    def path(self, well: str, site: str, channel: str) -> Path:
        return self.folder / self.key(well, site, channel)

    def options(self, endpoint_url: str, **changes: object) -> S3Options:
        return S3Options(**{**QUICK, "bucket": self.name, "endpoint_url": endpoint_url, **changes})  # type: ignore[arg-type]

    def put(self, key: str, body: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def load_data_key(self, name: str = "load_data_with_illum.csv", folder: str = "load_data_csv") -> str:
        return f"{ROOT}/workspace/{folder}/{BATCH}/{PLATE}/{name}"

    def url_table(self) -> pd.DataFrame:
        """The style of today: URL_ columns, in an order of their own, with columns nobody asked for."""
        rows = []
        for well, site in self.sites:
            row = {f"URL_Illum{channel}": self.url(self.illumination_key(channel)) for channel in self.channels}
            row |= {f"URL_Orig{channel}": self.url(self.key(well, site, channel)) for channel in self.channels[::-1]}
            row |= {"Metadata_Source": SOURCE, "Metadata_Batch": BATCH, "Metadata_Plate": PLATE}
            rows.append(row | {"Metadata_Well": well, "Metadata_Site": site, "Metadata_AbsTime": "2022"})
        return pd.DataFrame(rows)

    def path_table(self) -> pd.DataFrame:
        """The style before 2025: FileName_ and PathName_ columns, folders with or without a last slash."""
        rows = []
        for number, (well, site) in enumerate(self.sites):
            row: dict[str, str] = {"Metadata_Plate": PLATE, "Metadata_Well": well, "Metadata_Site": site}
            for channel in self.channels:
                for what, key in (("Orig", self.key(well, site, channel)), ("Illum", self.illumination_key(channel))):
                    folder, file = key.rsplit("/", 1)
                    row[f"FileName_{what}{channel}"] = file
                    row[f"PathName_{what}{channel}"] = self.url(folder) + ("/" if number % 2 else "")
            rows.append(row)
        return pd.DataFrame(rows)

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def illumination_key(self, channel: str) -> str:
        return f"{ROOT}/images/{BATCH}/illum/{PLATE}/{PLATE}_Illum{channel}.npy"

    def write_load_data(self, table: pd.DataFrame, name: str = "load_data_with_illum.csv", folder: str = "") -> None:
        key = self.load_data_key(name, folder or "load_data_csv")
        buffer = io.BytesIO()
        if name.endswith(".parquet"):
            table.to_parquet(buffer)
        else:
            table.to_csv(buffer, index=False, compression="gzip" if name.endswith(".gz") else None)
        self.put(key, buffer.getvalue())


def make_bucket(root: Path, name: str, wells: int = 3, sites: int = 2) -> Bucket:
    """A plate of `wells` x `sites` x 3 channels with its illumination functions and today's load_data."""
    pairs = [
        (f"{'ABCDEFGH'[number // 12]}{number % 12 + 1:02d}", str(s + 1))
        for number in range(wells)
        for s in range(sites)
    ]
    bucket = Bucket(root, name, pairs)
    for number, (well, site) in enumerate(pairs):
        for order, channel in enumerate(CHANNELS):
            compression = None if (number + order) % 5 == 1 else "lzw"
            bucket.put(bucket.key(well, site, channel), tiff(100 * number + order, compression=compression))
    for channel in CHANNELS:
        buffer = io.BytesIO()
        np.save(buffer, np.linspace(1, 2, 48 * 40, dtype=np.float32).reshape(48, 40))
        bucket.put(bucket.illumination_key(channel), buffer.getvalue())
    bucket.write_load_data(bucket.url_table())
    return bucket
