"""Which encoders of a run answer a question together: masked and whole tiles, unseen channels, training channels."""

from collections.abc import Sequence

from campfire.core.columns import SOURCE
from campfire.runs.run import Run


def masked(run: Run, encoders: Sequence[str]) -> dict[str, str]:
    """Of these encoders, one that sees masked tiles -> the one that sees whole tiles, where that is among them too."""
    planned = [run.encoder(name) for name in encoders]
    pairs = {encoder.name: encoder.masked.name for encoder in planned if encoder.masked}
    return {name: whole for name, whole in pairs.items() if whole in encoders}


def trained_on(run: Run) -> dict[str, list[str]]:
    """Evaluated encoder -> the channels of its pretraining run, of those that have one."""
    planned = [run.encoder(name) for name in dict.fromkeys(encoder for encoder, _ in run.pairs)]
    return {e.name: list(run.pretraining(e.run)["channels"]) for e in planned if e.run and not e.masked}


def adds_unseen_channels(run: Run) -> bool:
    """Whether an encoder is evaluated on a set with one channel that it never saw and on the same set without it."""
    known, sets = trained_on(run), run.config.channel_sets
    there = {(encoder, frozenset(sets[name])) for encoder, name in run.pairs if encoder in known}
    seen = ((encoder, channels, channels & set(known[encoder])) for encoder, channels in there)
    return any(len(channels - base) == 1 and (encoder, base) in there for encoder, channels, base in seen)


def differs_in_training_channels(run: Run, encoders: Sequence[str]) -> bool:
    """Whether these encoders were pretrained on different numbers of channels."""
    known = trained_on(run)
    return len({len(known[encoder]) for encoder in encoders if encoder in known}) > 1


def other_laboratories(run: Run) -> list[str]:
    """Sources of OOD plates that have neither training nor ID plates."""
    roles = run.sheet.groupby(SOURCE)["role"].agg(set)
    return [str(source) for source, found in roles.items() if found == {"ood"}]
