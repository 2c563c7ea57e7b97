"""Small random weights of every related encoder under its authors' parameter names, and a spec that loads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from campfire.model.peers import ca_mae, ca_mae_decoder, chada_vit, channelvit, contextvit, subcell
from campfire.model.peers.vit import VisionTransformer, VitShape

CHANNELS = ("Mito", "AGP", "RNA", "ER", "DNA")
WIDTH, PATCH, SIDE, DEPTH, HEADS = 16, 16, 32, 2, 2
TOKENS = (SIDE // PATCH) ** 2
CROP = 28  # of the channel-adaptive model: 8/7 of it are the 32 px that tiles are resized to


def shape(channels: int, positions: int = 1 + TOKENS, **changes: Any) -> VitShape:
    values = {"patch": PATCH, "width": WIDTH, "depth": DEPTH, "heads": HEADS, "hidden": 2 * WIDTH, **changes}
    return VitShape(channels=channels, positions=positions, **values)


def fill(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """The state dict with random values: norms about 1, biases small, matrices of moderate size."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        tensors[name] = (1 + 0.1 * noise) if "norm" in name and name.endswith("weight") else 0.2 * noise
    return tensors


def transformers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SubCell's tensors under the names of its published file."""
    found: dict[str, Tensor] = {}
    parts = {ours: theirs for theirs, ours in subcell.NAMES.items() if ours != "norm"}
    for name, value in tensors.items():
        if name.startswith("pool_model."):
            found[name.replace("_v.0.", "_v.1.").replace("_u.0.", "_u.1.")] = value
            continue
        own = name.removeprefix("encoder.")
        if ".attn.qkv." in own:
            layer, _, part = own.removeprefix("blocks.").partition(".attn.qkv.")
            for kind, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"encoder.encoder.layer.{layer}.attention.attention.{kind}.{part}"] = piece.contiguous()
            continue
        own = own.replace("blocks.", "encoder.layer.", 1) if own.startswith("blocks.") else own
        for ours, theirs in parts.items():
            own = own.replace(ours, theirs)
        found["encoder." + ("layernorm" + own[4:] if own.startswith("norm.") else own)] = value
    return found


def networks() -> dict[str, tuple[dict[str, Tensor], dict[str, Any]]]:
    """Kind -> tensors in the authors' names and the options to load them with."""
    order = list(CHANNELS)
    encoder = ca_mae.EncoderShape(PATCH, WIDTH, DEPTH, HEADS, 1 + 6 * TOKENS)
    decoder = ca_mae_decoder.DecoderShape(16, 1, 2, 3, 1 + 3 * TOKENS)
    recursion = fill(ca_mae.CaMae(encoder, decoder), 1)
    context = contextvit.ContextViT(shape(5, 2 + TOKENS), contextvit.named_form("mean_linear_layer"))
    slots = chada_vit.ChAdaViT(PATCH, WIDTH, DEPTH, HEADS, 1 + TOKENS, hidden=32)
    pair = transformers_names(fill(subcell.SubCell(shape(2, 50, eps=1e-12), 8, 2, []), 7))
    heads = {"heads": HEADS}
    return {
        "ca_mae": (recursion, {"size": SIDE}),
        "openphenom": (recursion, {"size": SIDE, "readout": "concatenate"}),
        "channelvit": (fill(channelvit.ChannelViT(shape(5)), 2), heads),
        "contextvit": (fill(context, 3), {**heads, "form": "mean_linear_layer", "absent": "zero"}),
        "chada_vit": (fill(slots, 4), heads),
        "cell_dino": (
            fill(VisionTransformer(shape(5, 50, scaled=True, masked=True)), 5),
            {**heads, "channel_order": order, "absent": "zero"},
        ),
        "channel_adaptive_dino": (
            fill(VisionTransformer(shape(1, scaled=True, masked=True, patch=14)), 6),
            {**heads, "size": CROP},
        ),
        "morphem": (fill(VisionTransformer(shape(1)), 8), heads),
        "subcell": (pair, heads),
    }


def write_weights(folder: Path) -> dict[str, dict[str, Any]]:
    """Write a file for each kind; kind -> its spec."""
    from safetensors.torch import save_file

    specs = {}
    for kind, (tensors, options) in networks().items():
        path = folder / f"{kind}.safetensors"
        save_file(tensors, path)
        specs[kind] = {"kind": kind, "weights": str(path), **options}
    return specs
