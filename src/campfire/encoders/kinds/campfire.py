"""Kinds `pretrained`, `untrained` and `release`: Campfire from a run, its untrained twin, the authors' checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from campfire.core.columns import CHANNELS
from campfire.core.errors import ConfigError, WeightsError
from campfire.core.options import Names, Options, option
from campfire.encoders.registry import register
from campfire.model.config import Normalisation, Rope, RopeForm

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder
    from campfire.model import MaskedAutoencoder


Pooling = Literal["cls", "mean", "cls+mean"]
POOLED = "class token, mean of the patch tokens (as released), or both"


class PretrainedOptions(Options):
    """Weights of a pretraining run."""

    kind: Literal["pretrained"] = "pretrained"
    run: str | None = option(None, "pretraining run of this config")
    weights: str | None = option(None, "model file of a run made elsewhere")
    pooling: Pooling = option("mean", POOLED, source="release")


class UntrainedOptions(Options):
    """The initial weights of a run, the baseline for training."""

    kind: Literal["untrained"] = "untrained"
    run: str | None = option(None, "pretraining run of this config that it is the twin of")
    weights: str | None = option(None, "trained model file that it is the twin of")
    model: Mapping[str, Any] | None = option(None, "architecture, where there is no such run", internal=True)
    seed: int | None = option(None, "seed of the initial weights", internal=True)
    channels: Names | None = option(None, "channels of that run", internal=True)
    normalisation: Normalisation | None = option(None, "how tiles are brought to scale")
    imagenet: str | None = option(None, "ImageNet weights that the twin starts from, `hub` or a file")
    pooling: Pooling = option("mean", POOLED, source="release")


class ReleaseOptions(Options):
    """The authors' released checkpoint; options that it does not record are required."""

    kind: Literal["release"] = "release"
    weights: str | None = option(None, "the checkpoint")
    rope: Rope | None = option(None, "RoPE of a checkpoint that does not tell")
    rope_form: RopeForm | None = option(None, "true rotation, or the release's cosine")
    heads: int | None = option(None, "attention heads of the encoder", ge=1)
    decoder_heads: int | None = option(None, "attention heads of the decoder", ge=1)
    normalisation: Normalisation | None = option(
        None, "how tiles were brought to scale in its training; must be given, nothing published tells"
    )
    pooling: Pooling = option("mean", POOLED, source="release")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.normalisation is None:
            yield (
                "normalisation",
                "is missing; the authors' checkpoint does not say how its tiles were brought to scale, and neither do "
                f"paper and release; set one of {', '.join(get_args(Normalisation))} (docs/encoders.md)",
            )


@register("pretrained", PretrainedOptions)
def make_pretrained(options: PretrainedOptions, name: str, device: str) -> Encoder:
    """The encoder of a weight file of `campfire.model.save_weights`."""
    from campfire.encoders.campfire_vit import CampfireEncoder
    from campfire.model import load_weights

    model, header = load_weights(_needed(options.weights, name))
    channels = header.get("channels") or CHANNELS
    return CampfireEncoder(model, name, _scale(header, name), device, channels, options.pooling)


@register("release", ReleaseOptions)
def make_release(options: ReleaseOptions, name: str, device: str) -> Encoder:
    """The encoder of the authors' checkpoint."""
    from campfire.encoders.campfire_vit import CampfireEncoder
    from campfire.model.released_checkpoint import load_checkpoint

    assert options.normalisation is not None
    known = ("rope", "rope_form", "heads", "decoder_heads")
    choices = {key: value for key in known if (value := getattr(options, key))}
    model = load_checkpoint(_needed(options.weights, name), **choices)
    return CampfireEncoder(model, name, options.normalisation, device, pooling=options.pooling)


@register("untrained", UntrainedOptions)
def make_untrained(options: UntrainedOptions, name: str, device: str) -> Encoder:
    """The twin of `weights`, or of `model` and `seed`."""
    from campfire.encoders.campfire_vit import CampfireEncoder
    from campfire.model import read_header

    header = read_header(options.weights) if options.weights else {}
    fields = options.model if options.model is not None else header.get("model")
    seed = options.seed if options.seed is not None else header.get("seed")
    if fields is None or seed is None:
        raise ConfigError(f"encoder {name}: an untrained twin needs the trained `weights`, or `model` and `seed`")
    imagenet = options.imagenet if options.imagenet is not None else header.get("imagenet")
    model = _initial(fields, int(seed), str(imagenet or ""), name)
    normalisation = options.normalisation or _scale(header, name)
    channels = options.channels or header.get("channels") or CHANNELS
    return CampfireEncoder(model, name, normalisation, device, channels, options.pooling)


def _initial(fields: Mapping[str, Any], seed: int, imagenet: str, name: str) -> MaskedAutoencoder:
    from campfire.model import ModelConfig, build_model

    try:
        config = ModelConfig(**fields)
    except (TypeError, ConfigError) as error:
        raise ConfigError(f"encoder {name}: section `model`: {error}") from error
    model = build_model(config, seed=seed)
    if imagenet:
        from campfire.model.imagenet import initialise_from_imagenet

        initialise_from_imagenet(model, imagenet)
    return model.eval()


def _scale(header: Mapping[str, Any], name: str) -> str:
    """The normalisation that a weight file names; a wrong one would silently give wrong embeddings."""
    if not header.get("normalisation"):
        raise ConfigError(
            f"encoder {name}: the weight file's header does not name the `normalisation` of its training; write it "
            f"with one of {', '.join(get_args(Normalisation))} (campfire.model.save_weights)"
        )
    return str(header["normalisation"])


def _needed(weights: str | None, name: str) -> str:
    if not weights:
        raise WeightsError(f"encoder {name}: give the weights file as `weights`")
    return weights
