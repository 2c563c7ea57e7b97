"""The claims: comparisons of a first result with one or more second results."""

from collections.abc import Sequence
from dataclasses import dataclass

from campfire.core.errors import ConfigError
from campfire.report.tables.options import TableOptions
from campfire.report.tables.sources import ProbeResult

Pair = tuple[str, str]
"""Encoder and channel set."""


@dataclass(frozen=True)
class Claim:
    """`first` is more accurate than `second`; of several seconds the best on average is compared."""

    name: str
    statement: str
    first: Pair
    second: tuple[Pair, ...]


def _pair(text: str, where: str) -> Pair:
    encoder, slash, channels = str(text).partition("/")
    if not (encoder and slash and channels):
        raise ConfigError(f"tables.claims: {where} is {text!r}; write encoder/channel_set")
    return encoder, channels


def configured(options: TableOptions) -> list[Claim]:
    """The claims given in the configuration."""
    claims = []
    for i, entry in enumerate(options.claims):
        second = entry.second
        seconds = [second] if isinstance(second, str) else list(second)
        claims.append(
            Claim(
                entry.name or f"claim_{i + 1}",
                entry.statement,
                _pair(entry.first, f"`first` of entry {i + 1}"),
                tuple(_pair(text, f"`second` of entry {i + 1}") for text in seconds),
            )
        )
    return claims


def default(results: Sequence[ProbeResult], options: TableOptions) -> list[Claim]:
    """The default claims that the available results allow.

    For every encoder that has an untrained twin (else for the first encoder): trained against untrained, on channels
    seen in pretraining and on unseen ones; the in-distribution channels against the best single one of them; against
    every baseline on both channel sets. For every encoder: in-distribution against out-of-distribution channels. If
    none of these is possible, the first result against every other.
    """
    there = {(result.encoder, result.channels) for result in results}
    encoders = options.order([encoder for encoder, _ in there])
    twins = set(options.twins.values())
    leads = [name for name in encoders if name in options.twins] or encoders[:1]
    id_name, ood_name = options.channel_label(options.id_channels), options.channel_label(options.ood_channels)
    claims = []
    for encoder in leads:
        label, own, unseen = options.label(encoder), (encoder, options.id_channels), (encoder, options.ood_channels)
        if encoder in options.twins:
            for name, mine, where in (
                ("trained", own, ""),
                ("trained_unseen", unseen, f", unseen channels {ood_name}"),
            ):
                twin = (options.twins[encoder], mine[1])
                if {mine, twin} <= there:
                    statement = f"{label}: trained against its untrained twin{where}"
                    claims.append(Claim(f"{encoder}_{name}", statement, mine, (twin,)))
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
    for encoder in encoders:
        own, unseen = (encoder, options.id_channels), (encoder, options.ood_channels)
        if {own, unseen} <= there:
            statement = f"{options.label(encoder)}: {id_name} against {ood_name}"
            claims.append(Claim(f"{encoder}_unseen", statement, own, (unseen,)))
    if not claims and len(there) > 1:
        first, *others = sorted(
            there, key=lambda pair: (encoders.index(pair[0]), pair[1] != options.id_channels, pair[1])
        )
        for number, pair in enumerate(others):
            names = [
                f"{options.label(encoder)}, {options.channel_label(channels)}" for encoder, channels in (first, pair)
            ]
            claims.append(Claim(f"claim_{number + 1}", " against ".join(names), first, (pair,)))
    return claims
