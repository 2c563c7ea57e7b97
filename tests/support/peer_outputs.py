"""What our networks give for the inputs beside each related encoder's weights, under the names of the recorded outputs.

Every function takes an encoder's folder and which file of outputs is meant (`""`, `_plain_class`, …).
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from campfire.model.peers import (
    ca_mae,
    ca_mae_decoder,
    chada_vit,
    channelvit,
    contextvit,
    openphenom,
    subcell,
)
from campfire.model.peers.prepare import joint_range
from campfire.model.peers.weights import read_tensors
from support.peer_case import Case, gradient_norms
from support.peer_outputs_dino import recompute_cell_dino, recompute_channel_adaptive_dino, recompute_morphem

Computed = dict[str, Any]

ROWS = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "twelve": 12}
"""Rows of ChAda-ViT's channel table by the name of a file of outputs."""


def recompute_ca_mae(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    bias: ca_mae.BiasForm = "sound" if "later" in variant else "shifted"
    model = ca_mae.build(case.tensors, bias, case.config["decoder_heads"])
    backbone, channels = model.backbone, case.config["channels"]
    values = ca_mae.prepare(case["images"])
    found: Computed = {"normalised": values}
    with torch.no_grad():
        found["patch_tokens"], found["embedded_tokens"] = backbone.patches(values), backbone.tokens(values)
        found["block0"] = backbone.blocks[0](backbone.tokens(values))
        for name, subset in case.subsets.items():
            tokens = backbone(values[:, subset])
            found[f"embedding_{name}"] = ca_mae.embedding(backbone, tokens)
            found[f"tokenmean_{name}"] = ca_mae.mean_tokens(tokens)
            found[f"channelwise_{name}"] = ca_mae.channel_means(tokens, len(subset))
            found[f"cls_{name}"] = tokens[:, 0]
    run = model(values, case["noise"], case.config["mask_ratio"])
    target = ca_mae_decoder.patch_targets(values, case.config["patch"])
    losses = {w: ca_mae_decoder.authors_loss(run.prediction, target, run.mask, channels, w) for w in (0.0, 0.01)}
    everything = ca_mae_decoder.authors_loss(run.prediction, target, None, channels)
    images = [ca_mae_decoder.whole_images(t, channels, case.config["patch"]) for t in (run.prediction, target)]
    found |= {
        "latent": run.latent,
        "mask": run.mask,
        "ind_restore": run.restore,
        "reconstruction": run.prediction,
        "target_tokens": target,
        "reconstructed_image": images[0],
        "loss_masked_mse": losses[0.0]["loss"],
        "loss_all_mse": everything["mse"],
        "loss_mixed_num_bins0": losses[0.01]["loss"],
        "loss_mixed_mse": losses[0.01]["mse"],
        "loss_mixed_fourier": losses[0.01]["fourier"],
        "loss_mixed_fourier_unmasked": everything["fourier"],
        "loss_fourier_images": ca_mae_decoder.magnitude_distance(*images).mean(),
        "drop_path_rates": np.linspace(0, 0.1, case.config["depth"]),
    }
    again = model(values, case["noise"], case.config["mask_ratio"])
    mixed = ca_mae_decoder.authors_loss(again.prediction, target, again.mask, channels)["loss"]
    found["grad_mse"] = gradient_norms(model, losses[0.0]["loss"])
    found["grad_mixed"] = gradient_norms(model, mixed)
    return found


def recompute_openphenom(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    backbone = ca_mae.build(case.tensors, "sound" if "later" in variant else "shifted").backbone

    def read(values: Tensor, readout: openphenom.Readout, checked: bool = True) -> Tensor:
        tokens = openphenom.tokens_of(backbone, values, case.config["tokens_per_channel"] if checked else None)
        return openphenom.read(backbone, tokens, values.shape[1], readout)

    images, small = case["images"], case["images_seven_eighths"]
    values = ca_mae.prepare(images)
    with torch.no_grad():
        found: Computed = {
            "deviation_after_input_norm": values.std(dim=(2, 3), correction=0),
            "tokens": backbone(values),
            "predict_channelwise_prestandardised": read(openphenom.prepare_prestandardised(images), "concatenate"),
            "chammi75_conc": read(openphenom.prepare_by_brightest(images), "concatenate"),
            "chammi75_agg": read(openphenom.prepare_by_brightest(images), "average"),
            "chammi75_conc_seven_eighths": read(openphenom.prepare_by_brightest(small), "concatenate", False),
            "predict_seven_eighths": read(ca_mae.prepare(small), "average", False),
        }
        for name, subset in case.subsets.items():
            found[f"predict_{name}"] = read(values[:, subset], "average")
            found[f"predict_channelwise_{name}"] = read(values[:, subset], "concatenate")
            found[f"encoder_call_{name}"] = read(values[:, subset], "normalised")
    return found


def recompute_channelvit(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    model = channelvit.build(case.tensors, case.config["heads"])
    mean, deviation = case["mean"][:, None, None], case["std"][:, None, None]
    values = (case["images"] - mean) / deviation
    other = (case["images_other_size"] - mean) / deviation
    everything = torch.arange(values.shape[1])
    mixed = case["mixed_ids"]
    side = case.config["image"] // case.config["patch"]
    found: Computed = {}
    with torch.no_grad():
        for name, subset in case.subsets.items():
            found[f"cls_{name}"] = model.encode(values[:, subset], subset)[:, 0]
            found[f"cls_other_size_{name}"] = model.encode(other[:, subset], subset)[:, 0]
        # The plain class takes the channel numbers of the first image for all.
        chosen = mixed[:1].expand_as(mixed) if "plain" in variant else mixed
        rows = torch.arange(len(mixed))[:, None]
        found["cls_mixed_ids"] = model.encode(values[rows, mixed], chosen)[:, 0]
        embedded = model.labelled_tokens(values, everything)
        found["patch_tokens"] = model.patch_embed(values, everything.expand(len(values), -1))
        found["embedded_tokens"] = embedded
        found["position_table_one_channel"] = model.position_table((side, side), 1)[0]
        found["position_table_many_channels"] = model.position_table((side, side), values.shape[1])[0]
        found["final_tokens"] = model.encode(values, everything)
        first = model.norm(model.layers(embedded, len(model.blocks))[0])
        found["intermediate_first_cls"] = first[:, 0]
    loss = model.encode(values, everything)[:, 0].square().mean()
    found |= {"eval_loss": loss, "eval_grad": gradient_norms(model, loss)}
    for seed in case.seeds("train_channels_seed"):
        kept = torch.tensor(channelvit.channel_sample(values.shape[1], random.Random(seed)))
        output = model.encode(values[:, kept], kept)[:, 0]
        loss = output.square().mean()
        found |= {f"train_channels_seed{seed}": kept, f"train_cls_seed{seed}": output, f"train_loss_seed{seed}": loss}
        found[f"train_grad_seed{seed}"] = gradient_norms(model, loss)
    return found


def recompute_contextvit(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    values, other = (
        (case["images"] - case["mean"]) / case["std"],
        (case["images_other_size"] - case["mean"]) / case["std"],
    )
    forms = ["mean_linear", "mean", "mean_linear_layer", "mean_linear_detach", "mean_layer", "dictionary"]
    found: Computed = {}
    for name in [*forms, "mean_layer_detach", "mean_detach", "mean_linear_layer_detach", "mean_linear_group_of_one"]:
        form = "mean_linear_detach" if name.endswith("group_of_one") else name  # a process group cuts the gradient
        tensors = dict(case.tensors)
        if name == "dictionary":
            tensors |= read_tensors(folder / "weights_dictionary.safetensors")
            tensors = {n: t for n, t in tensors.items() if not n.startswith("cin.model.plate_id.1.")}
        model = contextvit.build(tensors, case.config["heads"], form)
        groups = case["plates_dictionary" if name == "dictionary" else "plates"]
        found |= {f"{name}/{key}": value for key, value in _contextvit_variant(model, values, other, groups).items()}
        if name == "mean_linear":
            with torch.no_grad():
                found["patch_tokens"] = model.patch_embed(values)
                found["embedded_tokens"] = model.grouped_tokens(values, groups)
    return found


def _contextvit_variant(model: contextvit.ContextViT, values: Tensor, other: Tensor, groups: Tensor) -> Computed:
    with torch.no_grad():
        alone = [model.encode(values[i : i + 1], groups[i : i + 1])[:, 0] for i in range(len(values))]
        found: Computed = {
            "cls_alone": torch.cat(alone),
            "cls_one_group": model.encode(values, groups[:1].expand(len(values)))[:, 0],
            "cls_other_size": model.encode(other, groups[: len(other)])[:, 0],
            "context_token": model.context(values, groups),
        }
    images = values.clone().requires_grad_()
    output = model.encode(images, groups)[:, 0]
    loss = output.square().mean()
    for number in range(len(output)):
        (share,) = torch.autograd.grad(output[number].square().mean(), images, retain_graph=True)
        found[f"image_gradient_norms_from_output_{number}"] = share.flatten(1).norm(dim=1)
    found |= {"cls": output, "loss": loss, "grad": gradient_norms(model, loss)}
    assert images.grad is not None
    found["image_gradient_norms"] = images.grad.flatten(1).norm(dim=1)
    return found


def recompute_chada_vit(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    tensors = dict(case.tensors)
    if variant.startswith("_table_of_"):
        tensors["channel_token"] = tensors["channel_token"][:, : ROWS[variant.removeprefix("_table_of_")]]
    model = chada_vit.build(tensors, case.config["heads"])
    images = [part[:, 0] / 255 for part in case["images"].split(case["counts"].tolist())]
    outputs = [model(image[None]) for image in images]
    found: Computed = {"cls": torch.cat([output[:, 0] for output in outputs])}
    if variant:
        return found
    tokens = torch.cat([output[0, 1:] for output in outputs])
    found |= {"tokens": tokens, "tokens_count": np.array(tokens.shape), "cls_eval_grad_mode": found["cls"]}
    per_channel = model.pos_embed.shape[2] - 1
    lengths = case["counts"] * per_channel + 1
    found["key_mask"] = torch.arange(1 + chada_vit.PUBLISHED_SLOTS * per_channel) >= lengths[:, None]
    with torch.no_grad():
        embedded, _ = model.tokens(images[0][None])
        found |= {"embedded_tokens": embedded, "after_block_0": model.blocks[0](embedded)}
        found["padded"] = ("embedded_tokens", "after_block_0")
        for number, image in enumerate(images):
            found[f"cls_alone_{number}"] = model(image[None])[0, 0]
            found[f"cls_reversed_{number}"] = model(image.flip(0)[None])[0, 0]
        blank = images[0].clone()
        blank[1:2] = 0
        found["cls_other_size"] = model(case["images_other_size"][None, :, 0] / 255)[:, 0]
        for suffix in ("", "_zero_bias"):
            bias = model.token_learner.proj.bias
            kept = bias.clone()
            bias.mul_(0.0 if suffix else 1.0)
            found[f"cls_blank_channel{suffix}"] = model(blank[None])[:, 0]
            attended = model.tokens(blank[None])[1]
            whole = found["key_mask"][:1].clone()
            if attended is not None:
                whole[:, : attended.shape[1]] = ~attended
            found["blank_channel_zero_bias_mask" if suffix else "blank_channel_mask"] = whole
            bias.copy_(kept)
    loss = found["cls"].square().mean()
    found |= {"loss": loss, "grad": gradient_norms(model, loss)}
    return found


def recompute_subcell(folder: Path, variant: str) -> Computed:
    case = Case(folder)
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in case.tensors.items():
        part, _, own = name.rpartition("::")
        parts.setdefault(part, {})[own] = value
    classifiers = [parts[name] for name in sorted(parts) if name]
    eps = case.config["vit_model"]["layer_norm_eps"]
    model = subcell.build(parts[""], case.config["vit_model"]["num_attention_heads"], eps, classifiers)  # type: ignore[arg-type]
    found: Computed = {}
    for suffix in ("", "_other_size"):
        values = joint_range(case[f"images{suffix}"])
        side = values.shape[-1] // model.encoder.shape.patch
        with torch.no_grad():
            tokens = model.encoder(values)
            pooled = model(values)
            found |= {
                f"embedding{suffix}": pooled.embedding,
                f"probabilities{suffix}": model.probabilities(pooled.embedding),
                f"pool_attention{suffix}": subcell.map_of(pooled.weights, (side, side)),
                f"pool_attention_of_cls{suffix}": pooled.weights[..., 0],
                f"last_attention_of_cls{suffix}": model.class_attention(values).unflatten(-1, (side, side)),
                f"tokens{suffix}": tokens,
                f"embedded_tokens{suffix}": model.encoder.tokens(values),
                f"token_count{suffix}": np.array(tokens.shape[1]),
                f"cls{suffix}": tokens[:, 0],
            }
    values = joint_range(case["images"])
    found["prepared"] = values[:, :, ::4, ::4]
    with torch.no_grad():
        found["embedding_reversed_channels"] = model(joint_range(case["images"].flip(1))).embedding
        found["embedding_constant_image"] = model(joint_range(torch.full_like(case["images"][:1], 90))).embedding
    return found


PEERS: dict[str, Callable[[Path, str], Computed]] = {
    "ca_mae": recompute_ca_mae,
    "openphenom": recompute_openphenom,
    "channelvit": recompute_channelvit,
    "contextvit": recompute_contextvit,
    "chada_vit": recompute_chada_vit,
    "cell_dino": recompute_cell_dino,
    "channel_adaptive_dino": recompute_channel_adaptive_dino,
    "morphem": recompute_morphem,
    "subcell": recompute_subcell,
}
