"""What embedding needs beside tiles: encoders behind masked tiles, their nuclei, and the channels that plates lack."""

from campfire.runs.run import Run


def lacking_channels(run: Run, channels: str) -> dict[str, list[str]]:
    """Plate -> the channels of a set that the sheet says it lacks; only of evaluation plates that lack any."""
    wanted = run.config.channel_sets[channels]
    lacking = {name: [c for c in wanted if c not in run.plate(name).channels] for name in run.evaluation_plates}
    return {name: absent for name, absent in lacking.items() if absent}


def masking_nuclei(run: Run, encoder: str, transfer: bool = False) -> list[str]:
    """The nuclei of the evaluation (transfer) plates where the encoder sees masked tiles, else []."""
    plates = run.transfer_plates if transfer else run.evaluation_plates
    return list(map(run.files.nuclei, plates)) if run.encoder(encoder).masked else []


def loaded_encoders(run: Run) -> list[str]:
    """The encoders that are used, and those behind masked tiles, each once."""
    behind = (run.encoder(name).masked for name in run.encoders)
    return list(dict.fromkeys([*run.encoders, *(encoder.name for encoder in behind if encoder)]))
