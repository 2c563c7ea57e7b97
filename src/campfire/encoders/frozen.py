"""A frozen published network with its own scaling, resizing and combination of channels."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.core.digests import file_sha256
from campfire.core.errors import ConfigError, DataError, WeightsError, reason
from campfire.encoders.kinds.peers import HUB_NAME
from campfire.encoders.registry import Source, known_channels
from campfire.model.normalise import normalise
from campfire.model.peers.weights import read_tensors
from campfire.model.weights import weights_digest

log = logging.getLogger(__name__)

Embed = Callable[[Tensor, Sequence[str]], Tensor]
"""Raw tiles (B, C, H, W) on the encoder's device and their channels' names to embeddings (B, D)."""


class FrozenEncoder:
    """A network and the function that embeds tiles with it; bf16 on a GPU, float32 on a CPU.

    settings: everything beside the weights that an embedding depends on, the version of the preprocessing included.
    """

    def __init__(
        self,
        name: str,
        device: str,
        model: nn.Module,
        embed: Embed,
        dim: Callable[[Sequence[str]], int],
        settings: Mapping[str, Any],
        prepare_plate: Callable[[Tensor, Sequence[str]], None] | None = None,
        plate_tiles: int = 0,
    ) -> None:
        self.name, self.device, self.normalisation, self.pooling = name, device, "own", "own"
        self.plate_tiles, self._prepare_plate = plate_tiles, prepare_plate
        self.model = model.to(device).eval()
        self._embed, self._dim = embed, dim
        text = json.dumps([weights_digest(model), dict(settings)], sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def dim(self, channels: Sequence[str]) -> int:
        """Length of an embedding of these channels."""
        return self._dim(channels)

    @torch.inference_mode()
    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`; `statistics` are not used. DataError for tiles that the network does not take."""
        values = images.to(self.device, non_blocking=True)
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.device.startswith("cuda")):
            try:
                return self._embed(values, channels).float()
            except DataError as error:
                raise DataError(f"encoder {self.name}: {error}") from error

    @torch.inference_mode()
    def begin_plate(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> None:
        """See `PlateEncoder.begin_plate`; nothing for encoders without a context."""
        if self._prepare_plate is not None:
            self._prepare_plate(images.to(self.device), channels)

    def __repr__(self) -> str:
        return f"FrozenEncoder({self.name!r}, {type(self.model).__name__}, {self.device})"


def grey_levels(images: Tensor) -> Tensor:
    """Raw tiles (B, C, H, W) as float32 in 0..255: 8-bit ones unchanged, others stretched to their range.

    Published encoders take 8-bit images; the 0.1 and 99.9 percentiles of each channel of each tile become 0 and 255.
    """
    return images.float() if images.dtype == torch.uint8 else normalise(images, "tile_range") * 255


def resize(values: Tensor, edge: int | None, mode: str = "bicubic") -> Tensor:
    """Float tiles (B, C, H, W) resized to a square, antialiased, within their range; None leaves them unchanged."""
    if edge is None or values.shape[-2:] == (edge, edge):
        return values
    low, high = values.amin(dim=(2, 3), keepdim=True), values.amax(dim=(2, 3), keepdim=True)
    return functional.interpolate(values, (edge, edge), mode=mode, antialias=True).clamp(low, high)


def centre_crop(values: Tensor, edge: int) -> Tensor:
    """The central square of (B, C, H, W)."""
    top, left = (values.shape[2] - edge) // 2, (values.shape[3] - edge) // 2
    return values[..., top : top + edge, left : left + edge]


def all_channels(values: Tensor, channels: Sequence[str], order: Sequence[str], absent: str, name: str) -> Tensor:
    """Tiles (B, C, H, W) of `channels` at their positions among all of an encoder's channels, zeros for the others.

    ConfigError for channels that it does not know, and for missing ones unless `absent` is `zero`.
    """
    places = known_channels(order, channels, name)
    if len(places) < len(order) and absent == "refuse":
        raise ConfigError(
            f"encoder {name}: it takes {', '.join(order)} together, not {', '.join(channels)} alone; embed a channel "
            "set of all of them, or set absent: zero"
        )
    whole = values.new_zeros(len(values), len(order), *values.shape[2:])
    whole[:, places] = values
    return whole


def find_weights(weights: str, sha256: str, name: str, source: Source) -> dict[str, Tensor]:
    """The tensors of a peer's weights: a file, or `hf-hub:<owner>/<model>@<revision>[/<file>]`.

    WeightsError names the source of missing weights, and the actual SHA-256 of a mismatch. A file without `sha256` is
    taken with a warning that gives the value to set.
    """
    if not weights:
        raise WeightsError(f"encoder {name}: give its `weights`; {source.where}")
    path = _from_hub(weights, name, source) if weights.startswith("hf-hub:") else Path(weights)
    if not path.is_file():
        raise WeightsError(f"encoder {name}: no weights at {weights}; {source.where}")
    found = file_sha256(path)
    if sha256 and found != sha256.lower():
        raise WeightsError(
            f"encoder {name}: {weights} has SHA-256 {found}, but the config pins {sha256}; get the file again, or pin "
            "the new one if the change is meant"
        )
    if not sha256 and not weights.startswith("hf-hub:"):  # a hub name pins its revision
        log.warning(
            "encoder %s: nothing pins %s, so another file of that name would be taken as well; set the encoder's "
            "`sha256: %s`",
            *(name, weights, found),
        )
    return read_tensors(path)


def _from_hub(weights: str, name: str, source: Source) -> Path:
    """The cached or downloaded file of a model hub name."""
    match = HUB_NAME.fullmatch(weights)
    if match is None:
        raise WeightsError(
            f"encoder {name}: {weights} pins no revision; write hf-hub:<owner>/<model>@<40-digit commit>[/<file>]"
        )
    from huggingface_hub import hf_hub_download

    file = match["file"] or "model.safetensors"
    try:
        return Path(hf_hub_download(match["repository"], file, revision=match["revision"]))
    except Exception as error:  # the hub client raises many unrelated types
        raise WeightsError(f"encoder {name}: no {weights} ({reason(error)}); {source.where}") from error
