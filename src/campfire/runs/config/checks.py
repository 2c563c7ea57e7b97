"""Checks that the sections of a config agree. A check yields what is wrong and the sections that it reads."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from campfire.core.mistakes import Mistake, nearest
from campfire.core.mistakes import Path as Place
from campfire.core.yaml import merge
from campfire.encoders.kinds.campfire import PretrainedOptions, ReleaseOptions, UntrainedOptions
from campfire.encoders.kinds.masked import MaskedOptions
from campfire.encoders.kinds.python import PythonOptions
from campfire.model.config import Normalisation
from campfire.runs.config.model import Config

Found = Iterator[tuple[Mistake, tuple[str, ...]]]
NUCLEAR_STAIN = "DNA"


def check_together(config: Config, given: Mapping[str, Any]) -> Found:
    """List the contradictions in a config whose sections are valid one by one.

    given: the raw values, which also hold the names of entries that could not be read.
    """
    yield from _check_names(config, given)
    yield from _check_encoders(config)
    yield from _check_channels(config)
    yield from _check_evaluation(config)
    yield from _check_recipe(config)


def _check_names(config: Config, given: Mapping[str, Any]) -> Found:
    """Names that refer to an entry elsewhere in the config."""
    known: dict[str, list[str]] = {
        "encoder": _names(config.encoders, given.get("encoders")),
        "channel set": _names(config.channel_sets, given.get("channel_sets")),
        "run": _names(config.pretrain.runs, _below(given, "pretrain", "runs")),
        "channel": list(dict.fromkeys([*config.channels, *config.training_channels])),
    }
    for kind, name, path in _references(config):
        if name not in known[kind]:
            looked_at = ("channels", "training_channels") if kind == "channel" else ()
            yield Mistake(path, f"unknown {kind} `{name}`; {_known(name, known[kind])}"), looked_at


def _names(entries: Mapping[str, Any], given: Any) -> list[str]:
    return list(dict.fromkeys([*entries, *(map(str, given) if isinstance(given, Mapping) else ())]))


def _below(given: Any, *path: str) -> Any:
    for step in path:
        given = given.get(step) if isinstance(given, Mapping) else None
    return given


def _known(name: str, names: list[str]) -> str:
    """The nearest name, or all known names."""
    near, everything = nearest(name, names), f"known: {', '.join(sorted(names)) or 'none'}"
    return near if near.startswith("known") else f"{near} {everything}"


def _references(config: Config) -> Iterator[tuple[str, str, Place]]:
    """(kind, name, place) of each name that something else in the config must define."""
    # Sets that are not evaluated are ignored: they may be the default config's, and a transfer screen has its own.
    evaluated = {name for entry in config.evaluate for name in entry.channel_sets}
    for name, channels in config.channel_sets.items():
        if name in evaluated:
            yield from (("channel", channel, ("channel_sets", name, i)) for i, channel in enumerate(channels))
    for run, options in config.pretrain.runs.items():
        if run in _runs_used(config):
            path: Place = ("pretrain", "runs", run, "channels")
            yield from (("channel", channel, (*path, i)) for i, channel in enumerate(options.channels))
    for number, entry in enumerate(config.evaluate):
        yield "encoder", entry.encoder, ("evaluate", number, "encoder")
        for i, name in enumerate(entry.channel_sets):
            yield "channel set", name, ("evaluate", number, "channel_sets", i)
    for i, name in enumerate(config.transfer.encoders):
        yield "encoder", name, ("transfer", "encoders", i)
    if config.transfer.sheet:
        yield "channel set", config.transfer.channel_set, ("transfer", "channel_set")
    if config.pretrain.runs:
        yield "run", config.pretrain.ablation.run, ("pretrain", "ablation", "run")
    yield from (("encoder", name, ("tables", "encoders", i)) for i, name in enumerate(config.tables.encoders))
    for trained, twin in config.tables.twins.items():
        yield from (("encoder", name, ("tables", "twins", trained)) for name in (trained, twin))
    for name, encoder in config.encoders.items():
        if source := getattr(encoder, "run", None):
            yield "run", str(source), ("encoders", name, "run")
        if isinstance(encoder, MaskedOptions):
            yield "encoder", encoder.encoder, ("encoders", name, "encoder")


def _runs_used(config: Config) -> set[str]:
    """The pretraining runs whose weights are evaluated."""
    used = {entry.encoder for entry in config.evaluate} | set(config.transfer.encoders)
    used |= {e.encoder for name, e in config.encoders.items() if name in used and isinstance(e, MaskedOptions)}
    encoders = (encoder for name, encoder in config.encoders.items() if name in used)
    return {encoder.run for encoder in encoders if isinstance(encoder, PretrainedOptions) and encoder.run}


def _check_encoders(config: Config) -> Found:
    """Check that encoders of this workflow name a run or a file, and the released checkpoint a file."""
    for name, encoder in config.encoders.items():
        path: Place = ("encoders", name)
        if isinstance(encoder, PretrainedOptions | UntrainedOptions) and bool(encoder.run) == bool(encoder.weights):
            yield Mistake(path, "give either `run`, a pretraining run of this config, or `weights`, a file"), ()
        if isinstance(encoder, MaskedOptions):
            shown = getattr(config.encoders.get(encoder.encoder), "kind", "")
            if shown in ("masked", "table"):
                text = f"{encoder.encoder} is of kind {shown}, which embeds no tiles; name an encoder that does"
                yield Mistake((*path, "encoder"), text), ()
        if isinstance(encoder, ReleaseOptions) and not encoder.weights:
            yield Mistake(path, "give the checkpoint as `weights`"), ()
        if isinstance(encoder, ReleaseOptions) and encoder.normalisation is None:
            text = f"is not given, and the checkpoint does not say it; set one of {', '.join(get_args(Normalisation))}"
            yield Mistake((*path, "normalisation"), f"{text} (docs/encoders.md)"), ()
        if isinstance(encoder, PythonOptions) and not all(encoder.factory.partition(":")):
            yield Mistake((*path, "factory"), "give it as module:function, e.g. my_encoders:make"), ()


def _check_channels(config: Config) -> Found:
    """Check that the plates have the channels that nuclei and the channel sets need."""
    for name in ("channels", "training_channels"):
        listed = list(getattr(config, name))
        if len(set(listed)) != len(listed):
            yield Mistake((name,), f"{listed} names one channel twice"), (name,)
    if config.sheet and NUCLEAR_STAIN not in config.channels:
        text = (
            f"[{', '.join(config.channels)}] has no DNA, which nucleus segmentation requires; call the nuclear stain "
            "DNA, e.g. by `campfire arrange --channels DAPI=DNA` (docs/your-screen.md)"
        )
        yield Mistake(("channels",), text), ("channels", "sheet")
    for name, channels in config.channel_sets.items():
        if len(set(channels)) != len(channels):
            yield Mistake(("channel_sets", name), f"{list(channels)} names one channel twice"), ("channel_sets",)


def _check_evaluation(config: Config) -> Found:
    """Check that the evaluation has plates, and includes the tables' leading channels and protocol."""
    if config.evaluate and not config.sheet:
        text = "needs a `sheet` of plates; for only a transfer screen set `evaluate: []`"
        yield Mistake(("evaluate",), text), ("evaluate", "sheet")
    evaluated = list(dict.fromkeys(name for entry in config.evaluate for name in entry.channel_sets))
    if evaluated and config.tables.id_channels not in evaluated:
        text = (
            f"no encoder of `evaluate` has the channel set {config.tables.id_channels}, which leads the tables; add it "
            f"there, or set this to one of {', '.join(evaluated)}"
        )
        yield Mistake(("tables", "id_channels"), text), ("evaluate", "tables")
    if config.evaluate and config.tables.protocol not in config.probe.protocols:
        text = f"{config.tables.protocol} leads the tables but is not among probe.protocols; add it there"
        yield Mistake(("tables", "protocol"), text), ("tables", "probe")
    strangers = [name for name in config.profiles.negative_controls if name not in config.split.controls]
    if config.evaluate and strangers:
        text = f"{', '.join(strangers)} is not among split.controls; name those of them that are negative"
        yield Mistake(("profiles", "negative_controls"), text), ("profiles", "split")


def _check_recipe(config: Config) -> Found:
    """Check that the ablation recipe consists of options of a run and fits the run that it is laid over."""
    study = config.pretrain.ablation
    base = config.pretrain.runs.get(study.run)
    if study.recipe is None or base is None:
        return
    from campfire.core.errors import ConfigError

    values = {name: getattr(base, name) for name in type(base).model_fields}
    plain = base.values()
    changes: Mapping[str, Any] = study.recipe
    merged = {name: value for name, value in merge(plain, changes).items() if name in changes or name not in values}
    try:
        base.changed(**_shrunk(merged, plain))
    except ConfigError as error:
        for line in str(error).splitlines():
            place, _, text = line.partition(": ")
            path = ("pretrain", "ablation", "recipe", *place.split(".")[1:])
            yield Mistake(path, text), ("pretrain",)


def _shrunk(changes: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a run with batches no larger than its global batch, as the study makes them."""
    merged = {**base, **changes}
    if isinstance(merged["global_batch"], int) and merged["batch_size"] > merged["global_batch"]:
        return {**changes, "batch_size": merged["global_batch"]}
    return dict(changes)


def evaluated_pairs(config: Config) -> Iterable[tuple[str, str]]:
    """(encoder, channel set) of every evaluation, each once."""
    return dict.fromkeys((entry.encoder, name) for entry in config.evaluate for name in entry.channel_sets)
