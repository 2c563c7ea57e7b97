"""Initial values, drawn from one seed and from no global generator."""

import torch
from torch import nn

from campfire.model.layers import Block
from campfire.model.positions import mixed_frequencies


@torch.no_grad()
def initialise(model: nn.Module, seed: int, rope_base: float = 10.0, rope_start: str = "random") -> None:
    """Draw all trainable values as the release does: Xavier-uniform matrices, zero biases, N(0, 0.02) tokens.

    Values are drawn on the CPU in the order of the parameters, so a seed gives the same model on every device;
    fixed sin-cos tables are unchanged. A model on the meta device receives no values.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    heads = {f"{name}.freqs": block.heads for name, block in model.named_modules() if isinstance(block, Block)}
    for name, parameter in model.named_parameters():
        if parameter.is_meta or not parameter.requires_grad:
            continue
        last = name.rpartition(".")[2]
        values = torch.empty(parameter.shape, device="cpu")
        if last in ("cls_token", "mask_token", "channel_embed"):
            nn.init.trunc_normal_(values, std=0.02, generator=generator)
        elif last == "freqs":
            values = mixed_frequencies(heads[name], parameter.shape[2] * 2 // heads[name], generator, rope_base)
            values = values * (rope_start != "zero")
        elif name.endswith("patch_embed.proj.bias"):
            bound = float(model.get_parameter(name[:-4] + "weight").flatten(1).shape[1]) ** -0.5
            nn.init.uniform_(values, -bound, bound, generator=generator)
        elif parameter.ndim > 1:
            nn.init.xavier_uniform_(values.view(values.shape[0], -1), generator=generator)
        else:
            nn.init.constant_(values, 1.0 if "norm" in name and last == "weight" else 0.0)
        parameter.copy_(values)
