"""Any timm model as a frozen encoder: the paper's DINO baselines and others."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.core.errors import ConfigError, DataError, WeightsError, reason
from campfire.model.imagenet import create_strictly

COMBINE = ("average", "concatenate")


class TimmEncoder:
    """A timm model without its head. Three channels enter as RGB, other numbers one by one as grey images.

    `size`: edge to which tiles are resized, or `native`. `combine`: how the embeddings of single channels are put
    together (`average`, `concatenate`); with `rgb=False` also those of three channels. Each channel of each tile is
    stretched from its 0.1 to its 99.9 percentile to [0, 1] and then scaled by the model's own mean and deviation.
    """

    normalisation = "percentile"

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
    ) -> None:
        if combine not in COMBINE:
            raise ConfigError(f"encoder {name}: combine {combine!r} is not one of {', '.join(COMBINE)}")
        self.name = name
        self.device = device
        self.size = size
        self.combine = combine
        self.rgb = rgb
        self.model = model.to(device).eval()
        self._mean = torch.tensor(list(mean), device=device)[:, None, None]
        self._deviation = torch.tensor(list(deviation), device=device)[:, None, None]
        settings = [size, combine, rgb, list(mean), list(deviation)]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for key, value in sorted(model.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()

    def dim(self, channels: Sequence[str]) -> int:
        """The model's width, times the number of channels where single channels are concatenated."""
        width = int(self.model.num_features)  # type: ignore[arg-type]
        return width * len(channels) if self.combine == "concatenate" and not self._as_rgb(len(channels)) else width

    def _as_rgb(self, channels: int) -> bool:
        return self.rgb and channels == 3

    @torch.inference_mode()
    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`; `statistics` are not used."""
        batch, count = images.shape[:2]
        values = stretch(images.to(self.device, non_blocking=True))
        if self.size != "native":
            edge = int(self.size)
            values = functional.interpolate(values, (edge, edge), mode="bicubic", antialias=True).clamp(0, 1)
        if not self._as_rgb(count):
            values = values.reshape(batch * count, 1, *values.shape[2:]).expand(-1, 3, -1, -1)
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.device.startswith("cuda")):
            try:
                output = self.model((values - self._mean) / self._deviation)
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


def stretch(images: Tensor, low: float = 0.001, high: float = 0.999) -> Tensor:
    """Raw tiles (B, C, H, W) to float32 in [0, 1]: each channel of each tile from its low to its high quantile."""
    values = images.float()
    ranked = values.flatten(2).sort(dim=2).values
    last = ranked.shape[2] - 1
    floor = ranked[..., round(low * last), None, None]
    span = ranked[..., round(high * last), None, None] - floor
    return ((values - floor) / span.clamp_min(1e-8)).clamp(0, 1)


def load_timm(spec: dict[str, Any], name: str, device: str) -> TimmEncoder:
    """A timm encoder from `model`, `weights` (`hub`, a file, or `random` with `seed`), `size`, `combine`, `rgb`.

    WeightsError, with the address and the setting to change, when the weights cannot be had.
    """
    import timm

    model_name = spec.get("model")
    if not model_name:
        raise ConfigError(f"encoder {name}: give the timm model's name as `model`")
    if not timm.is_model(model_name.split(".")[0]):
        raise ConfigError(
            f"encoder {name}: timm {timm.__version__} has no model {model_name!r}; see timm.list_models()"
        )
    weights = str(spec.get("weights", "hub"))
    size = spec.get("size", 224)
    options: dict[str, Any] = {}
    if model_name.startswith(("vit_", "deit", "eva")):
        options["img_size"] = int(spec.get("tile_size", 112)) if size == "native" else int(size)
    if weights == "random":
        # timm initialises from the global generator: fork it, so that a random baseline leaves no trace.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(spec.get("seed", 0)))
            model = timm.create_model(model_name, pretrained=False, num_classes=0, **options)
    else:
        if weights != "hub" and not Path(weights).is_file():
            raise WeightsError(f"encoder {name}: {weights} does not exist; {_where(model_name)}")
        try:
            model = create_strictly(model_name, weights, **options)
        except Exception as error:  # the hub client raises many unrelated types
            source = "the hub" if weights == "hub" else weights
            text = f"encoder {name}: no weights of {model_name} from {source} ({reason(error)}); {_where(model_name)}"
            raise WeightsError(text) from error
    config: dict[str, Any] = dict(model.pretrained_cfg)  # type: ignore[arg-type]
    return TimmEncoder(
        model,
        name,
        config.get("mean", (0.485, 0.456, 0.406)),
        config.get("std", (0.229, 0.224, 0.225)),
        size,
        str(spec.get("combine", "average")),
        bool(spec.get("rgb", True)),
        device,
    )


def _where(model_name: str) -> str:
    return (
        f"download model.safetensors from https://huggingface.co/timm/{model_name} and set the encoder's `weights` "
        "to that file"
    )
