"""Starting the encoder from ImageNet weights of a timm vision transformer (paper, Table 2.4)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from campfire.core.errors import ConfigError, WeightsError, reason
from campfire.model.autoencoder import MaskedAutoencoder
from campfire.model.positions import sincos_table

SOURCES = {
    (192, 12): "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    (384, 12): "vit_small_patch16_224.augreg_in21k_ft_in1k",
    (768, 12): "vit_base_patch16_224.mae",
    (1024, 24): "vit_large_patch16_224.mae",
    (1280, 32): "vit_huge_patch14_224.mae",
}
"""The timm weights for each encoder width and depth: MAE on ImageNet-1k where timm has such a model."""


def initialise_from_imagenet(model: MaskedAutoencoder, weights: str = "hub") -> None:
    """Copy the transformer blocks, norm, class token and patch projection of a timm ViT into the encoder.

    The projection is summed over the three colours (so a grey image gives the same tokens as in RGB) and resampled to
    the patch size. MAE's sin-cos table encodes the column in its first half; ours, as the release's, encodes the row
    there: weights trained with MAE's table have the halves of their features swapped. Positions and the decoder are
    unchanged; rotary frequencies that do not start at zero (`rope_start`) rotate queries and keys, which these weights
    never saw. `weights` is `hub` or a file. WeightsError with the address of the weights when they are unavailable or
    do not fit.
    """
    config = model.config
    name = SOURCES.get((config.encoder_width, config.encoder_depth))
    if name is None:
        raise ConfigError(
            f"model: no ImageNet weights for an encoder {config.encoder_width} wide and {config.encoder_depth} deep; "
            "use a standard size or initialise at random"
        )
    where = f"download model.safetensors from https://huggingface.co/timm/{name} and give its path"
    if weights != "hub" and not Path(weights).is_file():
        raise WeightsError(f"{weights}: no such ImageNet weights; {where}")
    try:
        source = create_strictly(name, weights)
    except Exception as error:  # the hub client raises many unrelated types
        raise WeightsError(f"no ImageNet weights {name} from {weights} ({differences(error)}); {where}") from error
    copy_transformer(source, model)


def create_strictly(model_name: str, weights: str, **options: Any) -> nn.Module:
    """A timm model without head whose every tensor came from `weights` (`hub` or a file with a head of any width).

    timm is not strict when it omits the head while loading, so the head is removed afterwards.
    """
    import timm

    if weights == "hub" or weights.endswith(".npz"):
        source: dict[str, Any] = {} if weights == "hub" else {"pretrained_cfg_overlay": {"file": weights}}
        model = timm.create_model(model_name, pretrained=True, **source, **options)
    else:
        tensors = dict(timm.models.load_state_dict(weights))
        classes = _head_width(model_name, tensors)
        overlay = {"state_dict": tensors, "num_classes": classes}
        model = timm.create_model(
            model_name, pretrained=True, num_classes=classes, pretrained_cfg_overlay=overlay, **options
        )
    model.reset_classifier(0)  # type: ignore[operator]
    return model


def _head_width(model_name: str, tensors: dict[str, Tensor]) -> int:
    """Classes of the head in a file of this model; 0 for a file without one."""
    import timm

    config = timm.get_pretrained_cfg(model_name, allow_unregistered=True) if ":" not in model_name else None
    names = (config.classifier if config is not None else None) or ("head", "fc", "classifier", "head.fc")
    heads = [f"{name}.weight" for name in ((names,) if isinstance(names, str) else names)]
    return next((len(tensors[name]) for name in heads if name in tensors and tensors[name].ndim > 1), 0)


def differences(error: Exception) -> str:
    """torch's message on tensors that do not fit a model, in one line; for other errors their first line."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines()]
    if len(lines) < 2 or "state_dict" not in lines[0]:
        return reason(error)
    shown = "; ".join(line if len(line) < 160 else f"{line[:150]} ..." for line in lines[1:4])
    return shown + (f"; and {len(lines) - 4} more differences" if len(lines) > 4 else "")


@torch.no_grad()
def copy_transformer(source: nn.Module, model: MaskedAutoencoder) -> None:
    """Copy from any timm VisionTransformer of the encoder's width, depth and heads; see the function above."""
    from timm.layers import resample_patch_embed

    given: dict[str, Tensor] = dict(source.state_dict())
    patch = model.config.patch_size
    colours = given["patch_embed.proj.weight"].float().sum(dim=1, keepdim=True)
    given["patch_embed.proj.weight"] = resample_patch_embed(colours, [patch, patch]).unsqueeze(2)
    # Parameters that no ImageNet model has (channel embeddings, the relatives' context) keep their initial values.
    kept = ("pos_embed", "freqs", "channel_embed", "context.weight", "context.bias")
    wanted = {name: value for name, value in model.encoder.named_parameters() if not name.endswith(kept)}
    missing = [name for name, value in wanted.items() if name not in given or given[name].shape != value.shape]
    if missing:
        raise WeightsError(
            f"the ImageNet model does not fit the encoder: {', '.join(missing[:5])} differ or are absent"
        )
    swap = columns_first(given["pos_embed"])
    for name, value in wanted.items():
        value.copy_(swap_features(name, given[name]) if swap else given[name])


def columns_first(positions: Tensor) -> bool:
    """Whether a position table (1, 1 + N, D) is MAE's: sines and cosines, of the column in the first half."""
    width, grid = positions.shape[2], round((positions.shape[1] - 1) ** 0.5)
    if width % 4 or grid**2 + 1 != positions.shape[1]:
        return False
    rows, columns = sincos_table(width, grid)[:, 1:].to(positions).chunk(2, dim=2)
    return bool((positions[:, 1:].float() - torch.cat([columns, rows], dim=2)).abs().max() < 1e-3)


def swap_features(name: str, value: Tensor) -> Tensor:
    """A tensor of a ViT with the halves of the features that run from block to block swapped.

    With all tensors swapped, the model computes the same function, with the halves of its output swapped.
    """
    if name.endswith(("qkv.weight", "fc1.weight")):  # take features in
        return value.roll(value.shape[1] // 2, dims=1)
    if name.endswith(("qkv.bias", "fc1.bias")):
        return value
    place = value.ndim - 1 if name.endswith("token") else 0
    return value.roll(value.shape[place] // 2, dims=place)  # give features out, or weigh them
