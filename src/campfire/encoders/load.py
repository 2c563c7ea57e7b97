"""From a spec of the configuration to an encoder."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from typing import Any

import torch

from campfire.core.errors import ConfigError, WeightsError
from campfire.encoders.base import Encoder
from campfire.model import MaskedAutoencoder, ModelConfig, load_weights, read_header

KINDS: dict[str, tuple[str, ...]] = {
    "pretrained": ("weights",),
    "untrained": ("weights", "model", "seed", "normalisation", "imagenet"),
    "release": ("weights", "rope", "rope_form", "heads", "decoder_heads", "normalisation"),
    "timm": ("model", "weights", "size", "combine", "rgb", "tile_size", "seed"),
    "features": ("families", "workers"),
    "python": ("factory", "arguments", "weights"),
}
"""Encoder kinds and the settings each takes (beside `kind`, `name` and `run`)."""


def resolve_device(device: str = "auto") -> str:
    """`auto` is the GPU where there is one, else the CPU."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def load(spec: Mapping[str, Any], device: str = "auto") -> Encoder:
    """The encoder that `spec` describes; `kind` chooses, `name` (default: the kind) labels it.

    pretrained: `weights`, a file of `campfire.model.save_weights`.
    untrained: the twin of such a file (`weights`), or `model` (fields of ModelConfig), `seed`, `normalisation`.
    release: `weights`, the authors' checkpoint, with `rope`, `rope_form`, `heads` where they cannot be told from it.
    timm: `model`, `weights` (hub, a file, random), `size` (224, native), `combine` (average, concatenate), `rgb`.
    features: classical measurements; `families`, `workers`.
    python: your own; `factory` (module:function) is called with `arguments`, and `weights`, `name`, `device`.
    Raises ConfigError for what it does not know, WeightsError for weights that are missing or do not fit.
    """
    kind = spec.get("kind")
    if kind not in KINDS:
        raise ConfigError(f"encoder kind {kind!r} is not one of {', '.join(KINDS)}")
    name = str(spec.get("name", kind))
    unknown = sorted(set(spec) - {"kind", "name", "run", *KINDS[kind]})
    if unknown:
        raise ConfigError(f"encoder {name}: unknown {', '.join(unknown)}; kind {kind} takes {', '.join(KINDS[kind])}")
    if kind in ("pretrained", "release") and not spec.get("weights"):
        raise WeightsError(f"encoder {name}: give the weights file as `weights`")
    where = resolve_device(device)
    if kind == "timm":
        from campfire.encoders.timm_models import load_timm

        return load_timm(dict(spec), name, where)
    if kind == "features":
        from campfire.encoders.features import FeatureEncoder

        return FeatureEncoder(name, spec.get("families"), int(spec.get("workers", 1)))
    if kind == "python":
        return _own(spec, name, where)
    from campfire.encoders.campfire_vit import CampfireEncoder

    model, normalisation = _campfire(spec, kind, name)
    return CampfireEncoder(model, name, str(spec.get("normalisation") or normalisation), where)


def _own(spec: Mapping[str, Any], name: str, device: str) -> Encoder:
    """What the user's factory makes; modules are found in the working directory as well."""
    module, _, function = str(spec.get("factory", "")).partition(":")
    if not module or not function:
        raise ConfigError(f"encoder {name}: give `factory` as module:function")
    arguments = {**spec.get("arguments", {}), "name": name, "device": device}
    if spec.get("weights"):
        arguments["weights"] = spec["weights"]
    sys.path.insert(0, os.getcwd())
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"encoder {name}: cannot load {module}:{function} ({error}); put it beside the run"
        ) from error
    finally:
        sys.path.remove(os.getcwd())
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"encoder {name}: {module}:{function} is called with {', '.join(sorted(arguments))}: {error}"
        ) from error
    encoder = make(**arguments)
    if not isinstance(encoder, Encoder):
        lacking = [
            part for part in ("name", "device", "normalisation", "digest", "dim", "embed") if not hasattr(encoder, part)
        ]
        raise ConfigError(f"encoder {name}: what {module}:{function} returns lacks {', '.join(lacking)}")
    return encoder


def _campfire(spec: Mapping[str, Any], kind: str, name: str) -> tuple[MaskedAutoencoder, str]:
    """Model and normalisation of a `pretrained`, `untrained` or `release` spec."""
    if kind == "pretrained":
        model, header = load_weights(spec["weights"])
        return model, str(header.get("normalisation", "tile"))
    if kind == "release":
        from campfire.model.released_checkpoint import load_checkpoint

        choices = {key: spec[key] for key in ("rope", "rope_form", "heads", "decoder_heads") if spec.get(key)}
        return load_checkpoint(spec["weights"], **choices), "tile"
    header = read_header(spec["weights"]) if spec.get("weights") else {}
    fields, seed = spec.get("model", header.get("model")), spec.get("seed", header.get("seed"))
    if fields is None or seed is None:
        raise ConfigError(f"encoder {name}: an untrained twin needs the trained `weights`, or `model` and `seed`")
    try:
        config = ModelConfig(**fields)
    except TypeError as error:
        raise ConfigError(f"encoder {name}: section `model`: {error}") from error
    model = MaskedAutoencoder(config, seed=int(seed))
    imagenet = spec.get("imagenet", header.get("imagenet"))
    if imagenet:
        from campfire.model.imagenet import initialise_from_imagenet

        initialise_from_imagenet(model, str(imagenet))
    return model.eval(), str(header.get("normalisation", "tile"))
