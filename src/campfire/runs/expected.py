"""What jobs without a record can be expected to fetch and to take, from published facts and counted arithmetic."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campfire.core.columns import PLATE, WELL
from campfire.core.text import duration
from campfire.images.gallery.options import S3Options
from campfire.runs.run import Run

if TYPE_CHECKING:
    from campfire.runs.scale import SourceFacts

GALLERY = S3Options().bucket
WHOLE_PLATE = 384
"""Wells of a plate of the Gallery."""
FEW_TILES = 1000
"""Tiles of a plate that are not cut yet, for the least time of pretraining; a JUMP plate has some 500,000 cells."""
CORE_RATE = 50e9
"""FLOP/s of a processor core in training, rounded up: the demo's small model reaches 22e9 (docs/performance.md)."""


def is_gallery(run: Run) -> bool:
    """Whether images come from the Cell Painting Gallery itself, whose sizes are published."""
    s3 = run.config.s3
    address = s3.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return s3.bucket == GALLERY and not s3.folder and not address


def wells_to_expect(run: Run, plate: str) -> float:
    """Wells with a role of a plate of the Gallery before there is a split: all, or the share that is trained on."""
    trained = plate not in run.evaluation_plates
    return WHOLE_PLATE * float(run.config.split.setting("compound_fraction") if trained else 1.0)


def plate_bytes(run: Run, plate: str, facts: "SourceFacts | None" = None) -> int:
    """Bytes of a plate's images by the Gallery's means, of its wells with a role; 0 where images are not from there."""
    if not is_gallery(run):
        return 0
    from campfire.runs.scale import SourceFacts

    facts = facts or SourceFacts()
    known = run.plate(plate)
    wells = len(known.wells) or _wells_with_a_role(run).get(plate) or wells_to_expect(run, plate)
    return round(wells * facts.sites_per_well * len(known.channels) * facts.bytes_per_tiff)


@cache
def _counted(path: str, modified: float) -> dict[str, int]:
    from campfire.core.files import read_table

    table = read_table(path, columns=[PLATE, WELL, "split"])
    used = table[table["split"] != "unused"]
    return {str(plate): int(count) for plate, count in used.groupby(PLATE).size().items()}


def _wells_with_a_role(run: Run) -> dict[str, int]:
    """Plate -> number of wells with a role, from the split; {} before it is made."""
    path = Path(run.files.wells)
    try:
        return _counted(str(path), path.stat().st_mtime)
    except Exception:  # noqa: BLE001  # an unreadable split is remade or named by the job that reads it
        return {}


def training_tiles(run: Run, name: str) -> int:
    """Tiles of an epoch of a pretraining run: those that are cut, and 1,000 for each plate that is not."""
    import pyarrow.parquet as pq

    tiles = 0
    for path in run.training_index(name):
        try:
            tiles += pq.read_metadata(path).num_rows
        except (OSError, ValueError):
            tiles += FEW_TILES
    most = run.pretraining(name).get("max_tiles") or tiles
    return min(tiles, most)


def pretraining_hours(run: Run, name: str) -> float:
    """Hours that a pretraining run takes at least on this machine's processors: its arithmetic at a good rate."""
    from campfire.model.config import ModelConfig
    from campfire.training.flops import training_flops

    options = run.pretraining(name)
    flops = training_flops(ModelConfig(**options["model"]), len(options["channels"]))
    return flops * options["epochs"] * training_tiles(run, name) / processor_rate() / 3600


def describe_pretraining(run: Run, name: str) -> str:
    """The size and the least time of a pretraining run here, for a message."""
    options: dict[str, Any] = run.pretraining(name)
    took = duration(3600 * pretraining_hours(run, name))
    cores = len(os.sched_getaffinity(0))
    return (
        f"pretraining {name} (model {options['model'].get('size')}, {options['epochs']} epochs of "
        f"{training_tiles(run, name):,} tiles or more) takes at least {took} on {cores} processor "
        f"core{'s' if cores > 1 else ''} without a GPU"
    )


def processor_rate() -> float:
    """FLOP/s that training reaches on this machine's processors, as counted on by CORE_RATE."""
    return CORE_RATE * len(os.sched_getaffinity(0))


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, asked without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
