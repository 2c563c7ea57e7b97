"""Which results answer a question together: masked tiles, unseen and training channels, seeds, the paper's values."""

import json
from collections.abc import Sequence
from itertools import takewhile

from campfire.core.columns import PLATE, SOURCE
from campfire.runs.run import Run
from campfire.screen.metadata import PAPER_OOD_PLATES


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


def is_papers(run: Run) -> bool:
    """Whether results may stand beside the paper's: its OOD plates, and `tables.paper_screen` does not deny it."""
    plates = run.split_sheet
    outside = set(plates.loc[plates["role"] == "ood", PLATE])
    return run.config.tables.paper_screen and outside == set(PAPER_OOD_PLATES)


def repeats(run: Run, encoders: Sequence[str]) -> dict[str, list[tuple[str, int, str]]]:
    """Of these encoders, those that differ only in their seed: shared name -> (encoder, seed, pretraining run) of each.

    The seed is that of the pretraining run, of a pretrained encoder or an untrained twin, else the encoder's own. The
    shared name is what the names begin with alike, as `mine` of `mine-1` and `mine-2`.
    """
    alike: dict[str, dict[int, tuple[str, int, str]]] = {}
    for name in encoders:
        planned = run.encoder(name)
        seed = planned.pretraining.get("seed", planned.options.get("seed"))
        if seed is None or planned.masked:
            continue
        options = {key: value for key, value in planned.options.items() if key not in ("run", "seed")}
        pretraining = {key: value for key, value in planned.pretraining.items() if key != "seed"}
        key = json.dumps([options, pretraining], sort_keys=True, default=str)
        alike.setdefault(key, {}).setdefault(int(seed), (name, int(seed), planned.run or ""))
    found: dict[str, list[tuple[str, int, str]]] = {}
    for members in alike.values():
        if len(members) > 1:
            names = [name for name, *_ in members.values()]
            alike_letters = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
            shared = "".join(letters[0] for letters in alike_letters).rstrip("-_. ")
            found[names[0] if not shared or shared in found else shared] = [members[seed] for seed in sorted(members)]
    return found
