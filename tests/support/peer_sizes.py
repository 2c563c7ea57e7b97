"""A folder laid out like ../shared/data/peers with random weights and inputs of other sizes than those there.

Patches, widths, depths, heads, tiles and numbers of channels all differ from the recorded sets; the outputs of those
are the names to compute.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from campfire.model.peers import ca_mae, ca_mae_decoder, chada_vit, channelvit, contextvit, subcell
from campfire.model.peers.vit import VisionTransformer, VitShape
from support.peer_weights import fill, transformers_names

SIDE, OTHER, PATCH, WIDTH, DEPTH, HEADS = 40, 56, 8, 72, 3, 6
TOKENS = (SIDE // PATCH) ** 2
CHANNELS = 6

Arrays = dict[str, Any]


def _shape(channels: int, positions: int = 1 + TOKENS, **changes: Any) -> VitShape:
    values: dict[str, Any] = {"patch": PATCH, "width": WIDTH, "depth": DEPTH, "heads": HEADS, "hidden": 3 * WIDTH}
    return VitShape(channels=channels, positions=positions, **values | changes)


def _networks() -> dict[str, tuple[dict[str, Tensor], Arrays]]:
    """Peer -> tensors in the authors' names, and what its config says beside sizes."""
    encoder = ca_mae.EncoderShape(PATCH, WIDTH, DEPTH, HEADS, 1 + 7 * TOKENS)
    decoder = ca_mae_decoder.DecoderShape(40, 2, 5, CHANNELS, 1 + CHANNELS * TOKENS)
    recursion = fill(ca_mae.CaMae(encoder, decoder), 1)
    forms = [contextvit.named_form(name, groups=6) for name in ("dictionary", "mean_linear_layer")]
    dictionary, layered = (contextvit.ContextViT(_shape(CHANNELS, 2 + TOKENS), form) for form in forms)
    one = fill(VisionTransformer(_shape(1)), 5)
    stain = fill(VisionTransformer(_shape(1, scaled=True, masked=True)), 6)
    chunked = fill(VisionTransformer(_shape(CHANNELS, scaled=True, masked=True)), 7)
    chunked = {n.replace("blocks.", "blocks.0.") if n.startswith("blocks.") else n: t for n, t in chunked.items()}
    pooled = transformers_names(fill(subcell.SubCell(_shape(3, eps=1e-12), 20, 3, []), 8))
    sizes = {"0": (12, 3 * WIDTH), "3": (10, 12), "6": (4, 10)}
    generator = torch.Generator().manual_seed(9)
    for name, size in sizes.items():
        pooled[f"classifier_0::{name}.weight"] = torch.randn(size, generator=generator) * 0.2
        pooled[f"classifier_0::{name}.bias"] = torch.randn(size[0], generator=generator) * 0.2
    vit = {"num_attention_heads": HEADS, "layer_norm_eps": 1e-12}
    return {
        "ca_mae": (recursion, {"decoder_heads": 5, "mask_ratio": 0.6}),
        "openphenom": (recursion, {"tokens_per_channel": TOKENS}),
        "channelvit": (fill(channelvit.ChannelViT(_shape(CHANNELS)), 2), {}),
        "contextvit": ({**fill(layered, 3), "dictionary": fill(dictionary, 3)}, {}),  # type: ignore[dict-item]
        "chada_vit": (fill(chada_vit.ChAdaViT(PATCH, WIDTH, DEPTH, HEADS, 1 + TOKENS, hidden=96), 4), {}),
        "morphem": (one, {"resized_to": SIDE, "instance_norm_eps": 1e-7}),
        "channel_adaptive_dino": (stain, {}),
        "cell_dino": (chunked, {}),
        "subcell": (pooled, {"vit_model": vit}),
    }


def _inputs(peer: str) -> Arrays:
    rng = np.random.default_rng(11)
    channels = 3 if peer == "subcell" else CHANNELS
    batch = 5 if peer == "contextvit" else 3

    def images(count: int, planes: int, side: int) -> np.ndarray[Any, Any]:
        return rng.integers(0, 256, (count, planes, side, side)).astype(np.uint8)

    found: Arrays = {"images": images(batch, channels, SIDE), "images_other_size": images(2, channels, OTHER)}
    found |= {f"subset_{n}": np.array(v) for n, v in {"all": range(channels), "pair": [0, 2], "one": [1]}.items()}
    found["subset_reversed"] = np.arange(channels)[::-1].copy()
    if peer == "ca_mae":
        found |= {"subset_repeat": np.array([1, 1, 0]), "subset_max": np.arange(7) % channels}
        found["noise"] = rng.random((batch, channels * TOKENS)).astype(np.float32)
    if peer == "openphenom":
        found["images_seven_eighths"] = images(2, channels, SIDE - PATCH)
    if peer == "channelvit":
        mean, deviation = rng.uniform(50, 90, (2, channels)).astype(np.float32)
        found |= {"mean": mean, "std": deviation, "mixed_ids": np.array([[0, 1], [5, 3], [2, 4]])}
    if peer == "contextvit":
        groups = {"plates": np.array([0, 0, 7, 7, 3]), "plates_dictionary": np.array([0, 0, 5, 5, 3])}
        found |= {"mean": np.float32(60), "std": np.float32(70), **groups}
    if peer == "chada_vit":
        counts = {"images": images(9, 1, SIDE), "counts": np.array([4, 2, 3]), "images_other_size": images(3, 1, OTHER)}
        found |= counts
    if peer == "cell_dino":
        found["mask"] = rng.random((batch, TOKENS)) < 0.3
    if peer == "morphem":
        found["after_saturation_noise_seed77_channel0"] = np.zeros((1, 1, 1), np.float32)
    return found


def write_other_sizes(folder: Path, recorded: Path) -> None:
    """Write the sets; `recorded` is where the outputs that name what to compute are."""
    for peer, (tensors, config) in _networks().items():
        place = folder / peer
        place.mkdir(parents=True)
        dictionary: Any = tensors.pop("dictionary", None)
        if dictionary is not None:
            save_file({n: t for n, t in dictionary.items() if "cin" in n}, place / "weights_dictionary.safetensors")
        save_file({name: value.contiguous() for name, value in tensors.items()}, place / "weights.safetensors")
        sizes = {"image": SIDE, "other_image": OTHER, "patch": PATCH, "heads": HEADS, "depth": DEPTH}
        (place / "config.json").write_text(json.dumps({**sizes, "channels": CHANNELS, **config}))
        np.savez(place / "inputs.npz", **_inputs(peer))
        for path in (recorded / peer).glob("outputs*.npz"):
            (place / path.name).write_bytes(path.read_bytes())
