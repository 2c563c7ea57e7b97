"""ContextViT (insitro/ContextViT 831aa4d): a token, shared by all images of a group, that represents plate or batch.

Gradient forms. `authors`: under any process group the authors' gather cuts the gradient from the token to the patches;
`detach` reproduces it. `sound` (the default): the gradient reaches every patch of the group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from campfire.core.errors import DataError, WeightsError
from campfire.model.layers import Linear
from campfire.model.peers.layers import grid_of, positions_for
from campfire.model.peers.vit import VisionTransformer, VitShape, shape_of
from campfire.model.peers.weights import fill

Amortisation = Literal["mean_linear", "mean", "dictionary"]


@dataclass(frozen=True)
class ContextForm:
    """Where the context token comes from."""

    amortisation: Amortisation = "mean_linear"  # mean patch through a linear layer, mean patch, or a row per group
    layerwise: bool = False  # after each block the token is recomputed from the block's patches
    detach: bool = False  # no gradient from the token to the patches
    covariate: str = "plate_id"  # the name in the parameters
    groups: int = 0  # rows of the dictionary


def named_form(name: str, covariate: str = "plate_id", groups: int = 0) -> ContextForm:
    """The form of the authors' name, e.g. `mean_linear_layer` or `mean_detach`."""
    parts = name.split("_")
    layerwise, detach = "layer" in parts, "detach" in parts
    base = "_".join(part for part in parts if part not in ("layer", "detach"))
    if base not in ("mean_linear", "mean", "dictionary"):
        raise WeightsError(f"ContextViT: no form {name!r}; choose mean_linear, mean or dictionary")
    return ContextForm(base, layerwise, detach, covariate, groups)  # type: ignore[arg-type]


def group_means(tokens: Tensor, groups: Tensor) -> Tensor:
    """Mean over all tokens (B, T, D) of all images of each image's group; `groups` (B,) any integers: (B, D)."""
    _, inverse, count = groups.unique(return_inverse=True, return_counts=True)
    means = tokens.mean(dim=1)
    sums = torch.zeros(len(count), means.shape[1], dtype=means.dtype, device=means.device)
    return (sums.index_add(0, inverse, means) / count[:, None].to(means.dtype))[inverse]


class ContextNetwork(nn.Module):
    """Patch tokens (B, T, D) and groups (B,) to a context token for each image (B, D)."""

    def __init__(self, width: int, form: ContextForm) -> None:
        super().__init__()
        self.form = form
        network: nn.Module | None = None
        if form.amortisation == "mean_linear":
            network = nn.Sequential(nn.Identity(), Linear(width, width))
        elif form.amortisation == "dictionary":
            network = nn.Embedding(form.groups, width)
        self.model = nn.ModuleDict({} if network is None else {form.covariate: network})

    def forward(self, patches: Tensor, groups: Tensor) -> Tensor:
        if self.form.amortisation == "dictionary":
            if int(groups.max()) >= self.form.groups:
                raise DataError(f"ContextViT: group {int(groups.max())}, but the dictionary has {self.form.groups}")
            return self.model[self.form.covariate](groups)
        means = group_means(patches.detach() if self.form.detach else patches, groups)
        return self.model[self.form.covariate](means) if self.model else means


class ContextViT(VisionTransformer):
    """A DINO transformer with class token, context token and patches; outputs depend on the images of one batch."""

    leading = 2

    def __init__(self, shape: VitShape, form: ContextForm) -> None:
        super().__init__(shape)
        self.form = form
        self.cin = ContextNetwork(shape.width, form)
        if form.layerwise:
            self.cin_blocks = nn.ModuleList(ContextNetwork(shape.width, form) for _ in range(shape.depth))

    def context(self, images: Tensor, groups: Tensor) -> Tensor:
        """The context token (B, D) of each image at the input."""
        return self.cin(self.patch_embed(images), groups)

    def encode(self, images: Tensor, groups: Tensor) -> Tensor:
        """Normed tokens (B, 2 + T, D) of images (B, C, H, W): class, context, patches."""
        x = self.grouped_tokens(images, groups)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if self.form.layerwise:
                context = self.cin_blocks[number](x[:, 2:], groups)
                x = torch.cat([x[:, :1], context[:, None], x[:, 2:]], dim=1)
        return self.norm(x)

    def contexts(self, images: Tensor) -> list[Tensor]:
        """Context tokens (D,) of these images as one group: at the input and, layerwise, after each block."""
        groups = torch.zeros(len(images), dtype=torch.long, device=images.device)
        x = self.grouped_tokens(images, groups)
        found = [self.context(images, groups)[0]]
        if self.form.layerwise:
            for block, network in zip(self.blocks, self.cin_blocks, strict=True):
                x = block(x)
                context = network(x[:, 2:], groups)
                x = torch.cat([x[:, :1], context[:, None], x[:, 2:]], dim=1)
                found.append(context[0])
        return found

    def encode_in(self, images: Tensor, contexts: list[Tensor]) -> Tensor:
        """Normed tokens (B, 2 + T, D) of images in a given context, see `contexts`, independent of the batch."""
        x = self._with_context(images, contexts[0].expand(len(images), -1))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if self.form.layerwise:
                context = contexts[number + 1].expand(len(images), 1, -1).to(x.dtype)
                x = torch.cat([x[:, :1], context, x[:, 2:]], dim=1)
        return self.norm(x)

    def grouped_tokens(self, images: Tensor, groups: Tensor) -> Tensor:
        """Class, context and patch tokens (B, 2 + T, D) with positions."""
        return self._with_context(images, self.context(images, groups))

    def _with_context(self, images: Tensor, context: Tensor) -> Tensor:
        grid = grid_of(images, self.shape.patch, "ContextViT")
        patches = self.patch_embed(images)
        start = self.cls_token.expand(len(images), -1, -1)
        x = torch.cat([start, context[:, None].to(patches.dtype), patches], dim=1)
        return x + positions_for(self.pos_embed, grid, self.leading)


def build(tensors: Mapping[str, Tensor], heads: int | None = None, form: str = "mean_linear") -> ContextViT:
    """The network of a state dict in one form, in evaluation mode; context parameters of other forms are ignored."""
    rows = next((t for n, t in tensors.items() if n.startswith("cin.model.") and n.count(".") == 3), None)
    covariates = {name.split(".")[2] for name in tensors if name.startswith("cin.model.")}
    chosen = named_form(form, covariates.pop() if covariates else "plate_id", 0 if rows is None else len(rows))
    model = ContextViT(shape_of(tensors, heads), chosen)
    wanted = set(model.state_dict())
    known = {n: t for n, t in tensors.items() if n in wanted or not n.startswith(("cin.", "cin_blocks."))}
    fill(model, known, "ContextViT", ignored=("head.",))
    return model
