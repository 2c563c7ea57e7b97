"""Any timm model as a frozen encoder: the paper's DINO baselines and others."""

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.core.errors import ConfigError, DataError, WeightsError, reason
from campfire.core.options import TILE_SIZE
from campfire.encoders.base import POOLINGS
from campfire.model.imagenet import create_strictly, differences
from campfire.model.normalise import normalise

log = logging.getLogger(__name__)

COMBINE = ("average", "concatenate")
PINNED = re.compile(r"@[0-9a-f]{40}$")
"""The end of a hub name that pins its revision."""
STRETCHES = ("tile_range", "plate_range")
"""Normalisations to [0, 1], as images of the web are."""


class TimmEncoder:
    """A timm model without its head. Three channels enter as RGB, other numbers one by one as grey images.

    `size`: edge to which tiles are resized, or `native`. `combine`: how the embeddings of single channels are put
    together (`average`, `concatenate`); with `rgb=False` also those of three channels. Each channel of each tile is
    stretched from its 0.1 to its 99.9 percentile (with `plate_range` from those of its plate, which keeps brightness)
    to [0, 1] and then scaled by the model's own mean and deviation. `pooling`: `cls`, `mean` (of the patch tokens) or
    `cls+mean`; None is the timm model's default.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        mean: Sequence[float],
        deviation: Sequence[float],
        size: int | str = 224,
        combine: str = "average",
        rgb: bool = True,
        device: str = "cpu",
        edge: int = 224,
        pooling: str | None = None,
        normalisation: str = "tile_range",
    ) -> None:
        if normalisation not in STRETCHES:
            raise ConfigError(f"encoder {name}: normalisation {normalisation!r} is not one of {', '.join(STRETCHES)}")
        if pooling is not None and pooling not in POOLINGS:
            raise ConfigError(f"encoder {name}: pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        if pooling is not None and getattr(model, "cls_token", None) is None:
            raise ConfigError(f"encoder {name}: the model has no class token; leave `pooling` out")
        if combine not in COMBINE:
            raise ConfigError(f"encoder {name}: combine {combine!r} is not one of {', '.join(COMBINE)}")
        self.name = name
        self.device = device
        self.size = size
        self.combine = combine
        self.pooling = pooling or f"timm ({getattr(model, 'global_pool', '') or 'own'})"
        self.parts = pooling.split("+") if pooling else []
        self.normalisation = normalisation
        self.rgb = rgb
        self._width = _output_width(model.eval(), edge, name)
        self.model = model.to(device)
        self._mean = torch.tensor(list(mean), device=device)[:, None, None]
        self._deviation = torch.tensor(list(deviation), device=device)[:, None, None]
        settings = [size, combine, rgb, list(mean), list(deviation), pooling, normalisation]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for key, value in sorted(model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()

    def dim(self, channels: Sequence[str]) -> int:
        """The model's width, times the number of channels where single channels are concatenated."""
        width = self._width * max(1, len(self.parts))
        return width * len(channels) if self.combine == "concatenate" and not self._as_rgb(len(channels)) else width

    def _as_rgb(self, channels: int) -> bool:
        return self.rgb and channels == 3

    @torch.inference_mode()
    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`."""
        batch, count = images.shape[:2]
        values = normalise(images.to(self.device, non_blocking=True), self.normalisation, statistics)
        if self.size != "native":
            edge = int(self.size)
            values = functional.interpolate(values, (edge, edge), mode="bicubic", antialias=True).clamp(0, 1)
        if not self._as_rgb(count):
            values = values.reshape(batch * count, 1, *values.shape[2:]).expand(-1, 3, -1, -1)
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.device.startswith("cuda")):
            try:
                output = self._pool((values - self._mean) / self._deviation)
            except AssertionError as error:
                height, width = values.shape[2:]
                raise DataError(
                    f"encoder {self.name} does not take {height} x {width} px ({error}); set size"
                ) from error
        output = output.float()
        if self._as_rgb(count):
            return output
        output = output.reshape(batch, count, -1)
        return output.mean(dim=1) if self.combine == "average" else output.flatten(1)

    def _pool(self, values: Tensor) -> Tensor:
        """Embeddings (B, D) of scaled RGB images."""
        if not self.parts:
            return self.model(values)
        tokens = self.model.forward_features(values)  # type: ignore[operator]
        first = int(getattr(self.model, "num_prefix_tokens", 1))
        pooled = {"cls": tokens[:, 0], "mean": tokens[:, first:].mean(dim=1)}
        return torch.cat([pooled[part] for part in self.parts], dim=1)


def load_timm(spec: dict[str, Any], name: str, device: str) -> TimmEncoder:
    """A timm encoder from `model`, `weights` (`hub`, a file, or `random` with `seed`), `size`, `combine`, `rgb`.

    `model` is a name of timm, `hf-hub:<owner>/<model>@<commit>` or `local-dir:<folder>`. `mean` and `deviation` replace
    those of the model's tag. WeightsError, with the address and the setting to change, when weights are missing.
    """
    import timm

    model_name = spec.get("model")
    if not model_name:
        raise ConfigError(f"encoder {name}: give the timm model's name as `model`")
    if model_name.startswith("hf-hub:") and not PINNED.search(model_name):
        log.warning(
            "encoder %s: %s names no revision, so other weights may come tomorrow; write %s@<40-digit commit>",
            *(name, model_name, model_name.partition("@")[0]),
        )
    architecture = _architecture(model_name, name)
    if not timm.is_model(architecture.split(".")[0]):
        raise ConfigError(
            f"encoder {name}: timm {timm.__version__} has no model {architecture!r}; see timm.list_models()"
        )
    weights = str(spec.get("weights", "hub"))
    size = spec.get("size", 224)
    edge = int(spec.get("tile_size") or TILE_SIZE) if size == "native" else int(size)
    options: dict[str, Any] = {"img_size": edge} if architecture.startswith(("vit_", "deit", "eva")) else {}
    model = _create(model_name, weights, int(spec.get("seed", 0)), options, name)
    config: dict[str, Any] = dict(model.pretrained_cfg)  # type: ignore[arg-type]
    mean = spec.get("mean") or config.get("mean", (0.485, 0.456, 0.406))
    deviation = spec.get("deviation") or config.get("std", (0.229, 0.224, 0.225))
    if weights not in ("hub", "random") and ":" not in model_name and "." not in model_name and not spec.get("mean"):
        log.warning(
            "encoder %s: %s names no tag, so the mean %s and deviation %s are those of timm's default weights, which "
            "need not be those of %s; name the tag in `model`, or set `mean` and `deviation`",
            *(name, model_name, tuple(mean), tuple(deviation), weights),
        )
    combine, rgb = str(spec.get("combine", "average")), bool(spec.get("rgb", True))
    scale = str(spec.get("normalisation") or "tile_range")
    return TimmEncoder(model, name, mean, deviation, size, combine, rgb, device, edge, spec.get("pooling"), scale)


def _create(model_name: str, weights: str, seed: int, options: dict[str, Any], name: str) -> nn.Module:
    """The model without head; WeightsError says what differs or where the weights are to be had."""
    import timm

    if weights == "random":
        # timm initialises from the global generator: fork it, so that a random baseline does not affect it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return timm.create_model(model_name, pretrained=False, num_classes=0, **options)
    if weights != "hub" and not Path(weights).is_file():
        raise WeightsError(f"encoder {name}: {weights} does not exist; {_where(model_name)}")
    try:
        return create_strictly(model_name, weights, **options)
    except Exception as error:  # the hub client raises many unrelated types
        if weights != "hub":
            raise WeightsError(
                f"encoder {name}: {weights} holds no weights of {model_name} ({differences(error)}); correct the "
                f"encoder's `model` or `weights`, or {_where(model_name)}"
            ) from error
        source = model_name if ":" in model_name else "the hub"
        text = f"encoder {name}: no weights of {model_name} from {source} ({differences(error)}); {_where(model_name)}"
        raise WeightsError(text) from error


def _architecture(model_name: str, name: str) -> str:
    """timm's name of the model that a name, a hub repository or a folder stands for."""
    kind, _, place = model_name.partition(":")
    if not place:
        return model_name
    if kind == "local-dir":
        path = Path(place) / "config.json"
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["architecture"])
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError(
                f"encoder {name}: {path} is no config of a timm model ({reason(error)}); `model: local-dir:<folder>` "
                "needs config.json and model.safetensors as timm saves them"
            ) from error
    if kind != "hf-hub":
        raise ConfigError(f"encoder {name}: `model` {model_name!r}: write hf-hub:<owner>/<model> or local-dir:<folder>")
    from timm.models import load_model_config_from_hf

    try:
        return str(load_model_config_from_hf(place)[1])
    except Exception as error:  # the hub client raises many unrelated types
        raise WeightsError(
            f"encoder {name}: no model {place} on the hub ({reason(error)}); download config.json and "
            f"model.safetensors from https://huggingface.co/{place} and set `model: local-dir:<folder>`"
        ) from error


def _output_width(model: nn.Module, edge: int, name: str) -> int:
    """Numbers that the model gives for an image, asked of the model itself: attributes do not always say it."""
    with torch.inference_mode():
        output = model(torch.zeros(1, 3, edge, edge))
    if not isinstance(output, Tensor) or output.ndim != 2:
        raise ConfigError(f"encoder {name}: the timm model gives no vector per image; choose one that pools")
    return int(output.shape[1])


def _where(model_name: str) -> str:
    owner = "" if ":" in model_name else "timm/"
    return (
        f"download model.safetensors from https://huggingface.co/{owner}{model_name.partition(':')[2] or model_name} "
        "and set the encoder's `weights` to that file"
    )
