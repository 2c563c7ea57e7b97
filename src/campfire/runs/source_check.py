"""What `check_source` compares the source of the images with."""

from typing import Any

from campfire.runs.plates import Plate
from campfire.runs.run import Run


def source_check_options(run: Run) -> dict[str, Any]:
    """The plates of the sheet, or of the transfer screen where that is all, and what they should have.

    groups: plates of the same channels and pixel size; wells: those of transfer plates, by plate.
    """
    plates = [run.plate(name) for name in run.plates or run.transfer_plates]
    groups: dict[tuple[Any, ...], list[Plate]] = {}
    for plate in plates:
        groups.setdefault((tuple(_channels(run, plate, plates)), plate.pixel_size_um), []).append(plate)
    return {
        "groups": [
            {"plates": [plate.place for plate in members], "channels": list(channels), "pixel_size_um": size}
            for (channels, size), members in groups.items()
        ],
        "wells": {plate.place["plate"]: list(plate.wells) for plate in plates if plate.wells},
    }


def _channels(run: Run, plate: Plate, plates: list[Plate]) -> list[str]:
    """The channels of a plate; of a training plate those of its source's evaluation plates, which have more."""
    evaluated = set(run.evaluation_plates)
    like = (p.channels for p in plates if p.name in evaluated and p.source == plate.source)
    own = plate.is_transfer or plate.name in evaluated
    return plate.channels if own else next(like, plate.channels)
