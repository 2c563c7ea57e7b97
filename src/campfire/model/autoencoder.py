"""Campfire, the channel-agnostic masked autoencoder (paper, section 2.2)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from campfire.core.errors import ConfigError
from campfire.model.channels import MAX_LABELS, check_index, label_means, label_sums, sum_over_ranks
from campfire.model.config import ModelConfig
from campfire.model.decoder import Decoder
from campfire.model.encoder import Encoder, flat_rows, patchify, unpatchify
from campfire.model.initialise import initialise
from campfire.model.layers import Block


class Output(NamedTuple):
    """A reconstruction with what the objective needs; H = W = image_size, N patches, K of them seen."""

    prediction: Tensor  # (B, C, H, W)
    target: Tensor  # (B, C, H, W), the input
    mask: Tensor  # (B, C, N) float32: 1 masked, 0 seen
    latent: Tensor  # (B, 1 + C K, D) tokens of the encoder, after its norm

    def pixel_mask(self) -> Tensor:
        """The mask at pixel resolution, (B, C, H, W)."""
        patch = round((self.target.shape[-1] * self.target.shape[-2] / self.mask.shape[-1]) ** 0.5)
        return unpatchify(self.mask[..., None].expand(*self.mask.shape, patch * patch), patch)


class Extras(NamedTuple):
    """What a pass takes besides images, channel labels and mask; see `MaskedAutoencoder.forward`."""

    paths: Tensor | None = None
    sums: Tensor | None = None
    scale: Tensor | None = None
    groups: Tensor | None = None


class MaskedAutoencoder(nn.Module):
    """Encoder and decoder of `config`, with initial values drawn from `seed` on the CPU.

    Parameter names are those of the released checkpoint. Images are (B, C, H, W) floats, already normalised, any
    set of channels; `channel_index` (C,) or (B, C) int64 labels the channels (free labels below 256; with learned
    embeddings or per-channel decoders below `config.channels`).
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.encoder = self._make_encoder()
        if config.decoder == "shared":
            self.decoder = Decoder(config)
        else:
            self.decoders = nn.ModuleList(Decoder(config, context=False) for _ in range(config.channels))
        if config.channel_embedding == "learned" and config.decoder == "shared":
            self.channel_embed = nn.Parameter(torch.empty(config.channels, config.encoder_width))
        initialise(self, seed, config.rope_base, config.rope_start)

    def _make_encoder(self) -> Encoder:
        return Encoder(self.config)

    def embed(self, images: Tensor, channel_index: Tensor | None = None, pooling: str = "mean") -> Tensor:
        """Embeddings (B, D) float32 of whole tiles, nothing masked (paper 2.2; the release's eval mode).

        `pooling`: see `Encoder.pool`. The encoder ignores channel labels, so `channel_index` has no effect.
        """
        self._check(images, channel_index)
        patches = patchify(images, self.config.patch_size)
        latent = self.encoder(patches, condition=self._condition(patches, channel_index, None))
        return self.encoder.pool(latent, pooling).float()

    def draw(
        self, batch: int, channels: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> dict[str, Tensor]:
        """The random numbers of one forward pass, as arguments for it (`model(images, index, **draws)`).

        Drawing outside keeps the forward pass compilable and lets a run resume from `generator` alone,
        whose device must be `device` (by default the generator's).
        """
        device = device or generator.device
        shape = (batch, self.config.patches) if self.config.sync_mask else (batch, channels, self.config.patches)
        draws = {"noise": torch.rand(shape, generator=generator, device=device)}
        if self.training and self.config.drop_path > 0:
            shape = (2 * self.config.encoder_depth, batch)
            draws["paths"] = torch.rand(shape, generator=generator, device=device)
        return draws

    def compile_blocks(self, tables_apart: bool = False, **how: Any) -> None:
        """Compile the transformer blocks in place, with the arguments of `torch.compile`; see `Block.compile_parts`.

        Blocks of one size share one graph for each shape, so that a deep model compiles as fast as a shallow one, and
        with several processes the gradients of a block travel while those of the blocks before it are computed.
        """
        for module in self.modules():
            if isinstance(module, Block):
                (module.compile_parts if tables_apart else module.compile)(**how)

    def forward(
        self,
        images: Tensor,
        channel_index: Tensor,
        noise: Tensor | None = None,
        paths: Tensor | None = None,
        generator: torch.Generator | None = None,
        sums: Tensor | None = None,
        scale: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> Output:
        """Reconstruct from a random part of the patches (a training step, or validation with fixed `noise`).

        `noise` (B, N), or (B, C, N) when masks are not synchronised: the patches with the lowest values are kept.
        `paths` (2 depth, B): draws for stochastic depth. Both are drawn from `generator` when `noise` is None.
        `sums`: `channel_sums` over the tiles that define the channel embeddings; None uses this batch (in training with
        `global` embeddings, this step on all ranks). `scale`: see `channel_sums`. `groups` (B,): which
        tiles share a context, for relatives that use one.
        """
        self._check(images, channel_index)
        if noise is None:
            if generator is None:
                raise ConfigError("a masked forward pass needs noise; give noise=, or generator= to draw it from")
            draws = self.draw(images.shape[0], images.shape[1], generator, images.device)
            noise, paths = draws["noise"], draws.get("paths")
        return self._masked(images, channel_index, noise, Extras(paths, sums, scale, groups))

    @torch.no_grad()
    def reconstruct(
        self,
        images: Tensor,
        channel_index: Tensor,
        mask: bool = True,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        sums: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Output:
        """Reconstruct without gradients: from masked input, or with `mask=False` from whole tiles.

        Masks come from `noise`, or from `generator` (seeded with 0 when neither is given). Channel embeddings come from
        this batch alone, or from `sums`. The release's eval mode is `mask=False` (its mask is all ones, ours all
        zeros).
        """
        training = self.training
        self.eval()
        try:
            if not mask:
                self._check(images, channel_index)
                return self._whole(images, channel_index, Extras(sums=sums, scale=scale))
            if noise is None and generator is None:
                generator = torch.Generator(images.device).manual_seed(0)
            return self(images, channel_index, noise=noise, generator=generator, sums=sums, scale=scale)
        finally:
            self.train(training)

    def _check(self, images: Tensor, channel_index: Tensor | None) -> None:
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1] < 1 or tuple(images.shape[2:]) != (size, size):
            raise ConfigError(f"images of shape {tuple(images.shape)}; the model takes (B, C, {size}, {size})")
        if channel_index is not None:
            fixed = self.config.decoder == "per_channel" or self.config.channel_embedding == "learned"
            check_index(channel_index, images, self.config.channels if fixed else MAX_LABELS)

    @torch.no_grad()
    def channel_sums(self, images: Tensor, channel_index: Tensor, scale: Tensor | None = None) -> Tensor:
        """Sums by label, (256, K + 1) float32, from which the channel embeddings of these tiles are computed.

        Sums of several batches or processes add up, and `forward(..., sums=)` takes the total. `scale` (2, B, C) are
        gain and offset that convert normalised tiles to the scale in which channels are compared; None: unchanged.
        """
        patches = patchify(images, self.config.patch_size)
        return label_sums(self._summaries(patches, scale), channel_index.to(images.device))

    def no_sums(self, device: torch.device | str | None = None) -> Tensor:
        """The `channel_sums` of no tiles."""
        size = self.config.patch_size**2 + (self.config.encoder_width if self.config.channel_context != "mean" else 0)
        return torch.zeros(MAX_LABELS, size + 1, device=device)

    def _summaries(self, patches: Tensor, scale: Tensor | None) -> Tensor:
        """Mean patch and, for `mean_spread`, mean squared embedding of each tile and channel: (B, C, K) float32.

        The mean of the projected patches is the projection of the mean patch, so sums (and
        messages between ranks) take P*P numbers per channel. All patches count, masked ones too (release, step 3).
        """
        with torch.autocast(patches.device.type, enabled=False):
            values = patches.float()
            if scale is not None:
                gain, offset = scale[..., None, None]
                values = values * gain + offset
            mean = values.mean(dim=2)
            if self.config.channel_context == "mean":
                return mean
            return torch.cat([mean, self.encoder.project(values).square().mean(dim=2)], dim=2)

    def _masked(self, images: Tensor, channel_index: Tensor, noise: Tensor, extras: Extras) -> Output:
        """Reconstruct from the patches with the lowest `noise`."""
        kept = noise.argsort(dim=-1)[..., : self.config.kept]
        return self._run(images, channel_index, kept[:, None] if noise.ndim == 2 else kept, extras)

    def _whole(self, images: Tensor, channel_index: Tensor, extras: Extras) -> Output:
        """Reconstruct whole tiles, nothing masked."""
        return self._run(images, channel_index, None, extras)

    def _run(self, images: Tensor, channel_index: Tensor, kept: Tensor | None, extras: Extras) -> Output:
        batch, channels = images.shape[:2]
        patch = self.config.patch_size
        patches = patchify(images, patch)
        index = channel_index.to(images.device, non_blocking=True)
        context = self._context(patches, index, extras.sums, extras.scale)
        if kept is None:
            seen = patches
            mask = images.new_zeros(batch, channels, self.config.patches, dtype=torch.float32)
        else:
            rows = flat_rows(kept, channels, self.config.patches)
            seen = patches.flatten(0, 2).index_select(0, rows).view(batch, channels, -1, patches.shape[3])
            ones = images.new_ones(batch, kept.shape[1], self.config.patches, dtype=torch.float32)
            mask = ones.scatter(2, kept, 0.0).expand(batch, channels, -1)
        latent = self.encoder(seen, kept, extras.paths, self._condition(patches, index, extras.groups))
        if self.config.decoder == "shared":
            predicted = self.decoder(latent, channels, context, kept)
        else:
            predicted = self._decode_each(latent, channel_index, channels, kept)
        return Output(unpatchify(predicted, patch), images, mask, latent)

    def _condition(self, patches: Tensor, index: Tensor | None, groups: Tensor | None) -> Tensor | None:
        """What the encoder takes besides the patches seen: for relatives, labels of channels or context of tiles.

        patches (B, C, N, P*P): all of them, masked ones too.
        """
        return None

    def _context(
        self, patches: Tensor, index: Tensor, sums: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor | None:
        """Channel embeddings (C, D') or (B, C, D'); detached unless learned (release, step 3)."""
        mode = self.config.channel_embedding
        if self.config.decoder == "per_channel":
            return None
        if mode == "learned":
            return self.channel_embed[index]
        with torch.no_grad(), torch.autocast(patches.device.type, enabled=False):
            if mode == "sample":
                return self.channel_embeddings(self._summaries(patches, scale))
            if sums is None:
                sums = label_sums(self._summaries(patches, scale), index)
                sums = sum_over_ranks(sums) if self.training and mode == "global" else sums
            return self.channel_embeddings(label_means(sums, index))

    def channel_embeddings(self, means: Tensor) -> Tensor:
        """Channel embeddings (..., D') of the means (..., K) that `label_means` makes of `channel_sums`."""
        pixels = self.config.patch_size**2
        centre = self.encoder.project(means[..., :pixels])
        if self.config.channel_context == "mean":
            return centre
        return torch.cat([centre, (means[..., pixels:] - centre.square()).clamp_min(0).sqrt()], dim=-1)

    def _decode_each(self, latent: Tensor, index: Tensor, channels: int, kept: Tensor | None) -> Tensor:
        """Predictions of one decoder per channel index, each given the tokens of its own channel (as CA-MAE).

        The labels select modules, so the host reads them: keep `channel_index` on the CPU to avoid a synchronisation.
        """
        batch = latent.shape[0]
        tokens = latent[:, 1:].unflatten(1, (channels, -1))
        labels = index.cpu().expand(batch, channels)
        pieces, places = [], []
        for label in labels.unique().tolist():
            sample, channel = (part.to(latent.device) for part in (labels == label).nonzero(as_tuple=True))
            x = torch.cat([latent[sample, :1], tokens[sample, channel]], dim=1)
            own = None if kept is None else kept.expand(batch, channels, -1)[sample, channel][:, None]
            pieces.append(self.decoders[label](x, 1, None, own)[:, 0])
            places.append(sample * channels + channel)
        back = torch.cat(places).argsort()
        return torch.cat(pieces)[back].unflatten(0, (batch, channels))
