"""Tables of paired differences that answer one question each: outside of the cell, unseen channels, training channels.

Each is a table of differences (`report.tables.differences`) with its own comparisons and its own finding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from campfire.core.errors import DataError
from campfire.evaluation.statistics import MEAN
from campfire.report.tables import differences
from campfire.report.tables.claims import Claim
from campfire.report.tables.differences import Difference
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, number
from campfire.report.tables.sources import ProbeResult, probe_results
from campfire.report.tables.verdict import leading

Channels = Mapping[str, Sequence[str]]
"""Encoder -> the channels that it was pretrained on."""


def outside_claims(results: Sequence[ProbeResult], options: TableOptions, masked: Mapping[str, str]) -> list[Claim]:
    """Whole tiles against masked ones; masked: encoder of masked tiles -> the same encoder of whole tiles."""
    channels, there = options.id_channels, _pairs(results)
    return [
        Claim(name, f"{options.label(whole)}: whole tiles against {options.label(name)}", (whole, channels), (pair,))
        for name, whole in masked.items()
        if {pair := (name, channels), (whole, channels)} <= there
    ]


def unseen_claims(results: Sequence[ProbeResult], options: TableOptions, trained: Channels) -> list[Claim]:
    """A set with one channel that pretraining never saw, against the same set without it; for each trained encoder."""
    there, claims = _pairs(results), []
    sets = {frozenset(options.channels(name)): name for name in sorted({name for _, name in there})}
    rank = {encoder: i for i, encoder in enumerate(options.order(list(trained)))}
    known = [pair for pair in there if pair[0] in trained]
    for encoder, name in sorted(known, key=lambda pair: (rank[pair[0]], options.channel_rank(pair[1]))):
        channels = set(options.channels(name))
        unseen = channels - set(trained[encoder])
        base = sets.get(frozenset(channels - unseen))
        if len(unseen) == 1 and base and (encoder, base) in there:
            (channel,) = unseen
            text = f"{options.label(encoder)}: {options.channel_name(channel)} added to {options.channel_label(base)}"
            claims.append(Claim(f"{encoder}_{name}", text, (encoder, name), ((encoder, base),)))
    return claims


def training_claims(results: Sequence[ProbeResult], options: TableOptions, trained: Channels) -> list[Claim]:
    """Encoders trained on more channels against the one trained on fewest, all on the leading channel set."""
    there = _pairs(results)
    chosen = [name for name in options.order(list(trained)) if (name, options.id_channels) in there]
    chosen.sort(key=lambda name: len(trained[name]))
    claims = []
    for name in chosen[1:]:
        if len(trained[name]) == len(trained[chosen[0]]):
            continue
        known = [" + ".join(map(options.channel_name, trained[part])) for part in (name, chosen[0])]
        text = f"{options.label(name)}, trained on {known[0]}, against {options.label(chosen[0])}, on {known[1]}"
        pairs = [(part, options.id_channels) for part in (name, chosen[0])]
        claims.append(Claim(name, text, pairs[0], (pairs[1],)))
    return claims


def build(results: Sequence[ProbeResult], options: TableOptions, claims: Sequence[Claim], title: str) -> Table:
    """The differences of these claims under a title; DataError without any."""
    if not claims:
        raise DataError(f"{title} The evaluated encoders and channel sets allow no comparison")
    table = differences.build(results, options, claims)
    notes = tuple(note for note in table.notes if not note.startswith("The best single channel"))
    return replace(table, title=title, notes=notes)


def outside(results: Sequence[ProbeResult], options: TableOptions, masked: Mapping[str, str]) -> Table:
    """How much of each encoder's score comes from outside of the cell."""
    title = "Accuracy on whole tiles and on tiles that show the cell alone."
    table = build(results, options, outside_claims(results, options, masked), title)
    parts = list(_shares(table.data, options))
    note = (
        "First: whole tiles. Second: neighbours hidden (pixels nearer to another nucleus), with a radius also what "
        "lies farther from the nucleus; hidden pixels take the channel's background level. A difference above zero is "
        "accuracy that comes from outside of the cell, but encoders were not trained on masked tiles, which may cost "
        "accuracy of itself."
    )
    return replace(table, notes=(note, *table.notes), answer=" ".join([*parts, table.answer]))


def _shares(data: pd.DataFrame, options: TableOptions) -> Iterator[str]:
    for record in data[data["split"] == MEAN].to_dict("records"):
        encoder = str(record["first"]).partition("/")[0]
        found = Difference(float(record["difference"]), *leading(record))
        masked = options.label(str(record["second"]).partition("/")[0])
        yield (
            f"Of {options.label(encoder)}'s accuracy {number(record['accuracy_first'])} (mean of the quadrants), "
            f"{found.in_words()} is lost with {masked}."
        )


def unseen(results: Sequence[ProbeResult], options: TableOptions, trained: Channels) -> Table:
    """What each channel that pretraining never saw adds, one by one."""
    table = build(
        results,
        options,
        unseen_claims(results, options, trained),
        "What each channel adds that was not seen in pretraining.",
    )
    note = "First: with the unseen channel; second: without it. Above zero, the encoder uses a stain it never saw."
    return replace(table, notes=(note, *table.notes))


def training(results: Sequence[ProbeResult], options: TableOptions, trained: Channels) -> Table:
    """Accuracy by the number of channels of pretraining."""
    table = build(
        results,
        options,
        training_claims(results, options, trained),
        f"Accuracy on {options.channel_label(options.id_channels)} by the channels of pretraining.",
    )
    note = (
        "All encoders embed the same channels of the same cells; they differ in the channels that pretraining saw. "
        "One pretraining run each: intervals do not cover the spread over runs."
    )
    return replace(table, notes=(note, *table.notes))


def _pairs(results: Sequence[ProbeResult]) -> set[tuple[str, str]]:
    return {(result.encoder, result.channels) for result in results}


def make_outside(files: Files, settings: Settings) -> Table:
    """The table of masked tiles from the probes' files."""
    return outside(probe_results(files["probes"]), settings.options, settings.masked)


def make_unseen(files: Files, settings: Settings) -> Table:
    """The table of unseen channels from the probes' files."""
    return unseen(probe_results(files["probes"]), settings.options, settings.trained_on)


def make_training(files: Files, settings: Settings) -> Table:
    """The table of training channels from the probes' files."""
    return training(probe_results(files["probes"]), settings.options, settings.trained_on)
