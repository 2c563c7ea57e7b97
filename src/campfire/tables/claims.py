"""The comparisons that the evaluation makes, each a first result against one or more seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from campfire.errors import ConfigError
from campfire.tables.options import TableOptions
from campfire.tables.sources import ProbeResult

Pair = tuple[str, str]
"""Encoder and channel set."""


@dataclass(frozen=True)
class Claim:
    """`first` is more accurate than `second`; of several seconds the one with the best mean counts."""

    name: str
    statement: str
    first: Pair
    second: tuple[Pair, ...]


def _pair(text: str, place: str) -> Pair:
    encoder, slash, channels = str(text).partition("/")
    if not (encoder and slash and channels):
        raise ConfigError(f"tables.claims: {place} is {text!r}; write encoder/channel_set")
    return encoder, channels


def configured(options: TableOptions) -> list[Claim]:
    """The claims that the configuration spells out."""
    claims = []
    for i, entry in enumerate(options.claims):
        missing = {"statement", "first", "second"} - set(entry)
        if missing:
            raise ConfigError(f"tables.claims: entry {i + 1} lacks `{min(missing)}`")
        second = entry["second"]
        seconds = [second] if isinstance(second, str) else list(second)
        claims.append(
            Claim(
                str(entry.get("name", f"claim_{i + 1}")),
                str(entry["statement"]),
                _pair(str(entry["first"]), f"`first` of entry {i + 1}"),
                tuple(_pair(text, f"`second` of entry {i + 1}") for text in seconds),
            )
        )
    return claims


def default(results: Sequence[ProbeResult], options: TableOptions) -> list[Claim]:
    """What can be claimed from the results at hand, for every encoder that has an untrained twin.

    trained against untrained; the in-distribution channels against the best single one of them; against every baseline
    on in- and out-of-distribution channels; in-distribution against out-of-distribution channels.
    """
    there = {(result.encoder, result.channels) for result in results}
    encoders = options.order([encoder for encoder, _ in there])
    twins = set(options.twins.values())
    id_name, ood_name = options.channel_label(options.id_channels), options.channel_label(options.ood_channels)
    claims = []
    for encoder in [name for name in encoders if name in options.twins]:
        label, own, unseen = options.label(encoder), (encoder, options.id_channels), (encoder, options.ood_channels)
        twin = (options.twins[encoder], options.id_channels)
        if {own, twin} <= there:
            claims.append(Claim(f"{encoder}_trained", f"{label}: trained against its untrained twin", own, (twin,)))
        parts = set(options.channels(options.id_channels))
        single = tuple(
            sorted(pair for pair in there if pair[0] == encoder and options.channels(pair[1]) in [[c] for c in parts])
        )
        if own in there and len(single) == len(parts) > 1:
            statement = f"{label}: {id_name} against the best single channel"
            claims.append(Claim(f"{encoder}_channels", statement, own, single))
        for other in encoders:
            if other == encoder or other in twins or other in options.twins:
                continue
            for kind, mine in (("id", own), ("ood", unseen)):
                theirs = (other, mine[1])
                if {mine, theirs} <= there:
                    statement = f"{label} against {options.label(other)}, {options.channel_label(mine[1])}"
                    claims.append(Claim(f"{encoder}_{other}_{kind}", statement, mine, (theirs,)))
        if {own, unseen} <= there:
            statement = f"{label}: {id_name} against unseen channels ({ood_name})"
            claims.append(Claim(f"{encoder}_unseen", statement, own, (unseen,)))
    return claims
