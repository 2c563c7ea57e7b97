"""Plates of several sources: their own pixel size and channels in the sheet."""

from pathlib import Path

import pytest

from campfire.core.errors import ConfigError
from campfire.images.tiles import TileOptions
from campfire.runs.config import Config
from campfire.runs.plates import sheet_plates
from campfire.screen.metadata import read_sheet
from campfire.screen.metadata.tables import plate_channels

HEADER = "Metadata_Source\tMetadata_Batch\tMetadata_Plate\tMetadata_PlateType\trole\tpixel_size_um\tchannels\n"
CHANNELS = ["DNA", "AGP", "Mito", "ER", "RNA"]
CONFIG = Config(
    channels=tuple(CHANNELS),
    training_channels=("DNA", "AGP", "Mito"),
    pixel_size_um=0.6,
    tiles=TileOptions(size=112, pixel_size_um=0.6),
)


def sheet(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "plates.tsv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def test_plates_take_their_own_pixel_size_and_channels(tmp_path: Path) -> None:
    path = sheet(
        tmp_path,
        "ours\tB1\tP1\tTARGET2\tid\t\t",
        "theirs\tB2\tP2\tTARGET2\tood\t0.3\tDNA+AGP+ER",
        "theirs\tB2\tP3\tCOMPOUND\ttrain\t0.3\tDNA, AGP ER",
    )
    ours, theirs, training = sheet_plates(read_sheet(path), CONFIG)
    assert (ours.pixel_size_um, ours.channels) == (0.6, CHANNELS)
    assert (theirs.pixel_size_um, theirs.channels) == (0.3, ["DNA", "AGP", "ER"])
    assert training.channels == ["DNA", "AGP"]
    # Tiles of both show the same extent of the specimen.
    assert ours.tile_size(CONFIG) == 112 and theirs.tile_size(CONFIG) == 224


def test_sheets_without_these_columns_are_as_before(tmp_path: Path) -> None:
    path = tmp_path / "plates.tsv"
    columns = "Metadata_Source\tMetadata_Batch\tMetadata_Plate\tMetadata_PlateType\trole\n"
    path.write_text(columns + "ours\tB1\tP1\tTARGET2\tid\n")
    (plate,) = sheet_plates(read_sheet(path), CONFIG)
    assert (plate.pixel_size_um, plate.channels) == (0.6, CHANNELS)
    assert plate_channels({}) == []


@pytest.mark.parametrize(
    ("size", "channels", "message"),
    [
        ("60", "", "line 2: plate P1: pixel_size_um 60 looks like nanometres; give micrometres: 0.06"),
        ("0,6", "", "pixel_size_um '0,6' is no number; give micrometres, or leave it blank for the config's"),
        ("", "DNA+AGP+DNA", "channels names a channel twice"),
        ("", "DNA+A_GP", "channel 'A_GP' may have only letters and digits"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, size: str, channels: str, message: str) -> None:
    path = sheet(tmp_path, f"ours\tB1\tP1\tTARGET2\tid\t{size}\t{channels}")
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        read_sheet(path)
