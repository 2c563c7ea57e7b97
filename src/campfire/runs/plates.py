"""What one plate of a run needs: its location in the bucket, wells, channels and pixel size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from campfire.core.columns import BATCH, PLATE, SOURCE, WELL
from campfire.images.gallery import S3Options
from campfire.images.gallery.plan import read_known_bad
from campfire.images.tiles.cut import native_size
from campfire.runs.config import Config
from campfire.screen.metadata.tables import PIXEL_SIZE, plate_channels

NUCLEAR_STAIN = "DNA"


@dataclass(frozen=True)
class Plate:
    """A plate of the sheet or of the transfer screen.

    channels: those that are downloaded, nuclear stain included
    wells: Metadata_Well of the wells to download; empty for plates of the sheet, whose wells the split decides
    """

    name: str
    source: str
    batch: str
    channels: list[str]
    pixel_size_um: float
    wells: list[str]
    is_transfer: bool = False

    @property
    def place(self) -> dict[str, str]:
        """Source, batch and plate, as the bucket names them."""
        return {"source": self.source, "batch": self.batch, "plate": self.name}

    def tile_size(self, config: Config) -> int:
        """Side of the square that becomes a tile, in px of this plate."""
        return native_size(config.tiles.size, self.pixel_size_um, config.tiles.pixel_size_um)

    def nuclei_options(self, options: Mapping[str, Any], config: Config) -> dict[str, Any]:
        """Options of its nuclei, with what must agree with its tiles: a nucleus is kept when its tile fits."""
        return {**options, "tile_size": self.tile_size(config)}

    def known_bad(self, config: Config) -> dict[str, str]:
        """Known bad objects of this plate (key -> reason), so that one plate's faults do not rerun the others."""
        listed = read_known_bad(config.known_bad) if config.known_bad else {}
        return bad_objects(listed, self.place, config.s3.prefix)


def bad_objects(listed: Mapping[str, str], place: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Of a list of known bad objects (key -> reason) those of one plate, sorted by key.

    An entry that ends in "/" names a folder and holds for every plate in it. `prefix` may be empty.
    """
    folder = image_folder(place, prefix)
    return {
        key: reason
        for key, reason in sorted(listed.items())
        if place["plate"] in key or (key.endswith("/") and folder.startswith(key.lstrip("/")))
    }


def image_folder(place: Mapping[str, str], prefix: str) -> str:
    """The folder of a plate's images in the bucket, without a slash at its end. `prefix` may be empty."""
    root = S3Options(prefix=prefix).root(place["source"])
    return f"{root}/images/{place['batch']}/images/{place['plate']}"


def sheet_plates(sheet: pd.DataFrame, config: Config) -> list[Plate]:
    """The plates of the sheet: training plates need the training channels only, evaluation plates all.

    A plate that names its own channels has those of them; its own pixel size replaces the config's.
    """
    plates = []
    for row in sheet.to_dict("records"):
        evaluated = row["role"] in ("id", "ood")
        channels = list(config.channels) if evaluated else list(config.training_channels)
        if own := plate_channels(row):
            channels = [channel for channel in channels if channel in own]
        plates.append(
            Plate(
                name=row[PLATE],
                source=row[SOURCE],
                batch=row[BATCH],
                channels=with_nuclear_stain(channels),
                pixel_size_um=float(row.get(PIXEL_SIZE) or config.pixel_size_um),
                wells=[],
            )
        )
    return plates


def transfer_plates(sheet: pd.DataFrame, config: Config) -> list[Plate]:
    """The plates of the transfer screen, sorted by name."""
    transfer = config.transfer
    channels = with_nuclear_stain(config.channel_sets[transfer.channel_set])
    plates = []
    for name, rows in sheet.groupby(PLATE, sort=True):
        plates.append(
            Plate(
                name=str(name),
                source=rows[SOURCE].iloc[0],
                batch=rows[BATCH].iloc[0],
                channels=channels,
                pixel_size_um=transfer.pixel_size_um,
                wells=rows[WELL].tolist(),
                is_transfer=True,
            )
        )
    return plates


def with_nuclear_stain(channels: Sequence[str]) -> list[str]:
    """The channels, preceded by the nuclear stain if it is not among them: nucleus segmentation requires it."""
    return list(channels) if NUCLEAR_STAIN in channels else [NUCLEAR_STAIN, *channels]
