"""Reading and writing the authors' checkpoint format, whatever training code wrapped it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from campfire.core.errors import CampfireError, WeightsError, reason
from campfire.core.files import atomic_path
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.model.config import SIZES
from campfire.model.weights import HEADER, assign, empty_model

HEADS = {width: heads for width, _, heads in SIZES.values()} | {512: 16}
"""Attention heads by width, which cannot be inferred from shapes: standard ViT sizes and the standard MAE decoder."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")


def load_checkpoint(
    path: str | Path,
    rope: str | None = None,
    rope_form: str | None = None,
    heads: int | None = None,
    decoder_heads: int | None = None,
    **fields: Any,
) -> MaskedAutoencoder:
    """A model in eval mode from a checkpoint of the authors' code: safetensors, or torch files (.ckpt, .pt, .pth).

    Sizes come from the tensors' shapes; prefixes such as `model.` or `module.` are removed. RoPE `mixed` has
    `freqs` tensors. Without them, none and axial cannot be told apart, and `rope` is required. `rope_form` is `cosine`
    by default, as the released code computes it. Heads follow the width (`HEADS`) unless given; further
    `fields` of ModelConfig (`mask_ratio`, `sync_mask`, ...) may be set. A file of `save_checkpoint` stores all of
    these. Raises WeightsError that lists what is missing, unknown or of another shape.
    """
    tensors, stored = _read(Path(path))
    tensors = _strip(tensors, path)
    choices = {"rope": rope, "rope_form": rope_form, "heads": heads, "decoder_heads": decoder_heads, **fields}
    given = {name: value for name, value in choices.items() if value is not None}
    if stored and rope is None:
        try:
            config = ModelConfig(**stored)
        except (TypeError, CampfireError) as error:
            raise WeightsError(f"{path}: its configuration does not fit this version of campfire ({error})") from error
        config = config.changed(**given)
    else:
        config = _infer(tensors, path, given)
    model = empty_model(config)
    assign(model, tensors, path)
    return model.eval()


def save_checkpoint(model: MaskedAutoencoder, path: str | Path) -> None:
    """Write the release's layout, atomically: safetensors, or {"state_dict": ...} for any other suffix.

    The configuration goes along under `campfire` (safetensors header, or a JSON text beside the state_dict).
    Raises WeightsError for models that have no layout in the release.
    """
    if model.config.decoder != "shared" or model.config.channel_embedding == "learned":
        raise WeightsError(f"{path}: the release has no per-channel decoders and no learned channel embeddings")
    tensors = {name: value.detach().cpu().float().contiguous() for name, value in model.state_dict().items()}
    config = json.dumps(model.config.to_dict(), sort_keys=True)
    with atomic_path(path) as partial:
        if partial.suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file(tensors, partial, metadata={HEADER: json.dumps({"model": json.loads(config)}, sort_keys=True)})
        else:
            torch.save({"state_dict": tensors, HEADER: config}, partial)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Raw tensors by name, and the stored configuration where there is one."""
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such checkpoint; the authors' is at https://github.com/GSK-AI/campfire, give its local path"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(str(path), "pt") as file:
                header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
                return {name: file.get_tensor(name) for name in file.keys()}, header.get("model")  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # pickle, zip, safetensors and torch each raise their own
        raise WeightsError(
            f"{path}: not a readable checkpoint ({reason(error)}); weights_only must load it: save its state_dict"
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state_dict")
    config = content.get(HEADER)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    return dict(content), json.loads(config) if isinstance(config, str) else None


def _strip(tensors: Mapping[str, Any], path: str | Path) -> dict[str, Tensor]:
    """Names from `encoder.` or `decoder.` on, without the names of wrapping modules."""
    anchor = next((name for name in tensors if name.endswith("encoder.cls_token")), None)
    if anchor is None:
        start = ", ".join(list(tensors)[:4]) or "nothing"
        raise WeightsError(f"{path}: has no encoder.cls_token, so it is no Campfire checkpoint (it holds {start} ...)")
    prefix = anchor[: -len("encoder.cls_token")]
    odd = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if odd:
        raise WeightsError(f"{path}: {odd[0]} is no tensor; give the state_dict alone")
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def _infer(tensors: Mapping[str, Tensor], path: str | Path, given: Mapping[str, Any]) -> ModelConfig:
    """The configuration inferred from the tensors' shapes and the `given` fields."""
    needed = [
        "encoder.cls_token",
        "encoder.pos_embed",
        "encoder.patch_embed.proj.weight",
        "encoder.blocks.0.mlp.fc1.weight",
        "decoder.decoder_embed.weight",
    ]
    absent = [name for name in needed if name not in tensors]
    if absent:
        raise WeightsError(f"{path}: {len(absent)} missing: {', '.join(absent)}")
    width = tensors["encoder.cls_token"].shape[-1]
    depth = _depth(tensors, "encoder")
    patch = tensors["encoder.patch_embed.proj.weight"].shape[-1]
    patches = tensors["encoder.pos_embed"].shape[1] - 1
    grid = round(patches**0.5)
    if grid * grid != patches:
        raise WeightsError(f"{path}: {patches} positions are not those of a square tile")
    inferred: dict[str, Any] = {
        "size": next((name for name, (w, d, _) in SIZES.items() if (w, d) == (width, depth)), "large"),
        "image_size": grid * patch,
        "patch_size": patch,
        "width": width,
        "depth": depth,
        "mlp_ratio": tensors["encoder.blocks.0.mlp.fc1.weight"].shape[0] / width,
        "decoder_width": tensors["decoder.decoder_embed.weight"].shape[0],
        "decoder_depth": _depth(tensors, "decoder"),
        "rope_form": "cosine",
    }
    for heads, wide in (("heads", inferred["width"]), ("decoder_heads", inferred["decoder_width"])):
        if heads not in given and wide not in HEADS:
            raise WeightsError(f"{path}: the number of attention heads of a width of {wide} is not known; set {heads}=")
        inferred[heads] = HEADS.get(wide)
    rope = _rope(any(name.endswith(".freqs") for name in tensors), given.get("rope"), path)
    try:
        return ModelConfig(**{**inferred, **given, "rope": rope})
    except (TypeError, CampfireError) as error:
        raise WeightsError(f"{path}: {error}") from error


def _rope(mixed: bool, wanted: str | None, path: str | Path) -> str:
    """The kind of RoPE, from the presence of learnt frequencies and the caller's choice."""
    if mixed:
        if wanted in ("none", "axial"):
            raise WeightsError(f"{path}: has learnt rotary frequencies (freqs), so its RoPE is mixed, not {wanted}")
        return "mixed"
    if wanted not in ("none", "axial"):
        wish = "it has no freqs tensors, so it is not mixed" if wanted == "mixed" else "the file cannot tell which"
        raise WeightsError(
            f"{path}: {wish}: models without RoPE and with axial RoPE have the same tensors, and the wrong choice "
            "gives wrong embeddings without an error. Set rope= to none (the release's README) or axial; if unknown, "
            "compare reconstructions with both"
        )
    return wanted


def _depth(tensors: Mapping[str, Tensor], part: str) -> int:
    numbers = [int(found[1]) for name in tensors if (found := re.match(rf"{part}\.blocks\.(\d+)\.", name))]
    return max(numbers, default=-1) + 1
