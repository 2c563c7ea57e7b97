"""Write config.schema.yaml: the sections of the config from the library's option classes, the rest from here.

Field names, types, defaults and descriptions have one home, the option class; `make schema` carries them over and a
test fails when the two drift apart.
"""

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

import yaml

from campfire.core.options import Options, about
from campfire.encoders import KINDS
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.profiles import ProfileOptions
from campfire.evaluation.sampling import SampleOptions
from campfire.evaluation.transfer import TransferOptions
from campfire.images.gallery import S3Options
from campfire.images.nuclei import NucleiOptions
from campfire.images.quality import QualityOptions
from campfire.images.tiles import TileOptions
from campfire.model.config import ModelConfig
from campfire.report.tables import TableOptions
from campfire.screen.split import PROTOCOLS, SplitOptions
from campfire.training import PretrainOptions
from campfire.training.ablation import READINGS, AblationOptions
from campfire.training.augment import AugmentOptions
from campfire.training.objective import ObjectiveOptions

HERE = Path(__file__).resolve().parent
NAME = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
SCALARS = {int: "integer", float: "number", bool: "boolean", str: "string"}


def type_schema(kind: Any) -> dict[str, Any]:
    """JSON schema of a field's type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return type_schema(arguments[0])
    if isinstance(kind, type) and issubclass(kind, Options):
        return options_schema(kind)
    if kind in SCALARS:
        return {"type": SCALARS[kind]}
    if kind is type(None):
        return {"type": "null"}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        branches = [type_schema(argument) for argument in arguments]
        if all(set(branch) == {"type"} for branch in branches):
            return {"type": [branch["type"] for branch in branches]}
        return {"anyOf": branches}
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return {"type": "array", "minItems": len(arguments), "maxItems": len(arguments)}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": type_schema(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": type_schema(arguments[1])}
    if kind is Any:
        return {}
    raise TypeError(f"no schema for {kind!r}; add it to type_schema")


def options_schema(
    options: type[Options], leave_out: Sequence[str] = (), add: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """JSON schema of an option class."""
    properties: dict[str, Any] = {
        name: {"description": field.description, **type_schema(field.annotation)}
        for name, field in options.model_fields.items()
        if name not in leave_out
    }
    properties.update(add or {})
    summary = (options.__doc__ or "").strip().splitlines()[0]
    return {"type": "object", "description": summary, "additionalProperties": False, "properties": properties}


def text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def names(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description, **more}


def each(description: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping from free names to items of one kind."""
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": NAME},
        "additionalProperties": dict(item),
    }


def record(description: str, required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """A mapping with fixed keys."""
    fixed = {"type": "object", "description": description, "additionalProperties": False, "properties": properties}
    return {**fixed, "required": list(required)} if required else fixed


def with_choices(schema: dict[str, Any], **choices: Sequence[Any]) -> dict[str, Any]:
    """Allowed values of keys whose option class checks them itself."""
    for name, values in choices.items():
        schema["properties"][name].pop("type", None)
        schema["properties"][name]["enum"] = list(values)
    return schema


ZPRIME = ["zprime_ddof", "replicates", "level"]
"""Options of the Z' step, apart from those of the head so that changing them trains nothing again."""


def only(schema: dict[str, Any], keep: Sequence[str]) -> dict[str, Any]:
    """The schema with these properties alone."""
    return {**schema, "properties": {name: schema["properties"][name] for name in keep}}


def encoder_schema() -> dict[str, Any]:
    """The options of all kinds side by side; which of them a kind takes, the library checks before anything starts."""
    found: dict[str, dict[str, Any]] = {}
    for kind, registered in KINDS.items():
        for name, field in registered.options.model_fields.items():
            if name == "kind" or about(registered.options, name).get("internal"):
                continue
            part = found.setdefault(name, {"types": [], "words": {}})
            schema = type_schema(field.annotation)
            part["types"] += [schema] if schema not in part["types"] else []
            part["words"].setdefault(field.description, []).append(kind)
    settings: dict[str, Any] = {}
    for name, part in found.items():
        words = "; ".join(f"{', '.join(kinds)}: {text}" for text, kinds in part["words"].items())
        types_of = part["types"]
        settings[name] = {"description": words, **(types_of[0] if len(types_of) == 1 else {"anyOf": types_of})}
    kind_schema = {"enum": list(KINDS), "description": "what kind of encoder it is"}
    return record("an encoder: what turns tiles into embeddings", ["kind"], kind=kind_schema, **settings)


def transfer_schema() -> dict[str, Any]:
    return record(
        "the transfer screen: another screen, on which a head is trained on frozen embeddings",
        ["sheet"],
        sheet={"type": ["string", "null"], "description": "wells of the transfer screen (TSV); null leaves it out"},
        pixel_size_um={"type": "number", "exclusiveMinimum": 0, "description": "micrometres per pixel of that screen"},
        channel_set=text("channel set that is embedded"),
        encoders=names("encoders that are transferred"),
        cells_per_well={"type": "integer", "minimum": 1, "description": "most cells embedded per well"},
        head={**options_schema(TransferOptions, leave_out=ZPRIME), "type": ["object", "null"]},
        zprime=only(options_schema(TransferOptions), [*ZPRIME, "seed"]),
    )


def config_schema() -> dict[str, Any]:
    """The schema of the whole config."""
    run = options_schema(PretrainOptions, leave_out=["device", "loader_threads"])
    run["properties"]["model"] = options_schema(ModelConfig)
    run["properties"]["objective"] = options_schema(ObjectiveOptions)
    run["properties"]["augmentation"] = options_schema(AugmentOptions)
    study = options_schema(AblationOptions)
    study["properties"]["reading"] = {**study["properties"]["reading"], "enum": list(READINGS)}
    told = study["properties"]["recipe"]["description"]
    study["properties"]["recipe"] = {**run, "type": ["object", "null"], "description": told}
    channel = {"type": "string", "pattern": "^[A-Za-z0-9]+$"}
    channels = {"type": "array", "items": channel, "minItems": 1, "uniqueItems": True}
    top = {
        "results": text("root of everything that is written"),
        "logs": text("root of the log files"),
        "start_from": {
            "enum": ["images", "embeddings"],
            "description": "images: the whole chain; embeddings: tables and figures from cached embeddings alone",
        },
        "sheet": {
            "type": ["string", "null"],
            "description": "sheet of plates (TSV): source, batch, plate, type, role; null: a transfer screen alone",
        },
        "metadata": each(
            "JUMP's metadata tables",
            record(
                "a table and where it is",
                ["address"],
                address=text("https or file address, or a path"),
                sha256={"type": ["string", "null"], "description": "its SHA-256; null does not check"},
            ),
        ),
        "channels": {
            **channels,
            "description": "channels fetched for evaluation plates; the nuclear stain is called DNA",
        },
        "training_channels": {**channels, "description": "channels that pretraining sees"},
        "pixel_size_um": {"type": "number", "exclusiveMinimum": 0, "description": "micrometres per pixel"},
        "s3": options_schema(S3Options),
        "redo": {
            "type": ["string", "array"],
            "items": {"type": "string"},
            "description": "stages that may be done again though they are done: images, tiles, pretrain, embed or all",
        },
        "show_plan": {"type": "boolean", "description": "print what the plan costs (`make plan`)"},
        "known_bad": text("objects known to be corrupt (TSV: key, reason)"),
        "split": with_choices(options_schema(SplitOptions), protocol=PROTOCOLS, too_few=["error", "unused"]),
        "illumination": {"enum": ["none", "gallery"], "description": "divide by the plate's illumination function"},
        "illumination_offset": {
            "type": "number",
            "description": "counts of the camera without light, left out of the division; CellProfiler uses 0",
        },
        "quality": options_schema(QualityOptions),
        "nuclei": options_schema(NucleiOptions, leave_out=["tile_size", "border", "device"]),
        "tiles": options_schema(TileOptions),
        "sample": with_choices(options_schema(SampleOptions, leave_out=["protocols"]), too_few=["take_all", "error"]),
        "pretrain": record("pretraining", ["runs"], runs=each("pretraining runs by name", run), ablation=study),
        "ablation": {
            "type": ["string", "array", "object"],
            "description": "what the target `ablation` trains: all, a stage, stages, or trials by stage",
        },
        "channel_sets": each("named sets of channels", {**channels, "description": "channels of the set"}),
        "encoders": each("encoders by name", encoder_schema()),
        "evaluate": {
            "type": "array",
            "description": "what is embedded and probed",
            "items": record(
                "an encoder on channel sets",
                ["encoder", "channel_sets"],
                encoder=text("name of an encoder"),
                channel_sets=names("names of channel sets"),
            ),
        },
        "embed": record(
            "embedding",
            cells={
                "enum": ["sampled", "all"],
                "description": "sampled: cells that the probes use; all: every tile",
            },
            batch_size={"type": "integer", "minimum": 1, "description": "tiles per forward pass"},
        ),
        "probe": options_schema(
            ProbeOptions,
            leave_out=["threads"],
            add={
                "protocols": {
                    "type": "array",
                    "items": {"enum": list(PROTOCOLS)},
                    "description": "evaluation protocols that are run side by side",
                }
            },
        ),
        "profiles": options_schema(ProfileOptions),
        "transfer": transfer_schema(),
        "tables": with_choices(options_schema(TableOptions), protocol=PROTOCOLS),
    }
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "campfire config"}
    return {**schema, **record("configuration of the workflow", list(top), **top)}


def schema_text() -> str:
    """The text of config.schema.yaml."""
    body = yaml.safe_dump(config_schema(), sort_keys=False, width=120, allow_unicode=True)
    return "# Generated by generate.py from the library's option classes (make schema); do not edit.\n" + body


if __name__ == "__main__":
    (HERE / "config.schema.yaml").write_text(schema_text(), encoding="utf-8")
    print(HERE / "config.schema.yaml")
