"""What our DINO-trained networks give for the recorded inputs: Cell-DINO, channel-adaptive DINO, MorphEm."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from campfire.model.peers import (
    cell_dino,
    morphem,
)
from campfire.model.peers.prepare import saturation_noise, standardise
from support.peer_case import Case, gradient_norms

Computed = dict[str, Any]


def _chunked_names(case: Case) -> dict[str, str]:
    return {cell_dino.plain_name(name): name for name in case.tensors}


def recompute_cell_dino(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    model = cell_dino.build(case.tensors, case.config["heads"])
    found: Computed = {}
    for suffix in ("", "_other_size"):
        values = cell_dino.prepare(case[f"images{suffix}"])
        with torch.no_grad():
            last = model.layers(model.tokens(values))[0]
            normed = model.norm(last)
            found |= {
                f"normalised{suffix}": values,
                f"cls{suffix}": normed[:, 0],
                f"patch_mean{suffix}": normed[:, 1:].mean(dim=1),
                f"prenorm_cls{suffix}": last[:, 0],
                f"patch_tokens{suffix}": normed[:, 1:],
                f"embedded_tokens{suffix}": model.tokens(values),
                f"last4_cls_and_patch_mean{suffix}": model.linear_features(values, 4),
                f"last1_unit{suffix}": cell_dino.unit(normed[:, 0]),
            }
    values = cell_dino.prepare(case["images"])
    constant = case["images"].flatten(2).amax(dim=2) == case["images"].flatten(2).amin(dim=2)
    found["normalised_constant_channel_max"] = values[constant].abs().max() if constant.any() else values.abs().max()
    with torch.no_grad():
        found["cls_masked"] = model(values, case["mask"])[:, 0]
        found["cls_reversed_channels"] = cell_dino.embed(model, values.flip(1))
    loss = cell_dino.embed(model, values).square().mean()
    found |= {"loss": loss, "grad": gradient_norms(model, loss, _chunked_names(case))}
    return found


def recompute_channel_adaptive_dino(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    model = cell_dino.build(case.tensors, case.config["heads"])
    values = cell_dino.prepare(case["images"])
    with torch.no_grad():
        patches = model(cell_dino.fold(values))[:, 1:].unflatten(0, values.shape[:2])
        found: Computed = {
            "patch_tokens": patches,
            "patch_shape": np.array(patches.shape),
            "cls_other_size": cell_dino.embed_each(model, cell_dino.prepare(case["images_other_size"])),
            "last4_cls_and_patch_mean": cell_dino.linear_features_each(model, values, 4),
            "knn_unit": cell_dino.unit(cell_dino.embed_each(model, values)),
            "forward_one_channel": cell_dino.embed(model, values[:, :1]),
        }
        for name, subset in case.subsets.items():
            found[f"cls_{name}"] = cell_dino.embed_each(model, values[:, subset])
    return found


def recompute_morphem(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    model = morphem.build(case.tensors, case.config["heads"])
    size = case.config["resized_to"]
    assert morphem.native_size(model) == size
    images = case["images"]
    values = morphem.prepare(images, size)
    native = standardise(images, case.config["instance_norm_eps"], inside=True)
    seed = next((int(m[1]) for k in case.inputs if (m := re.search(r"noise_seed(\d+)", k))), 0)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        found: Computed = {
            "prepared_no_noise": values,
            "embedding_native_size": morphem.embed(model, native),
            "embedded_tokens_native": model.tokens(native.reshape(-1, 1, *native.shape[2:])),
            "patch_tokens": model(values[:, :1])[:, 1:],
            "prenorm_cls": model.layers(model.tokens(values[:, :1]))[0][:, 0],
            f"embedding_with_noise_seed{seed}": morphem.embed(model, morphem.prepare(images, size, noise, noise=True)),
        }
        for name, subset in case.subsets.items():
            found[f"embedding_{name}"] = morphem.embed(model, values[:, subset])
    noisy = saturation_noise(images, torch.Generator().manual_seed(seed))
    found["saturation_noise_touches_other_channels"] = not torch.equal(noisy[:, 1:], images[:, 1:].float())
    found["saturation_noise_acts_on_unit_range"] = not torch.equal(saturation_noise(images / 255), images / 255)
    return found
