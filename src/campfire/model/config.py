"""The architecture of a masked autoencoder as plain values."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from campfire.core.options import TILE_SIZE, Options, option

SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
"""Standard ViT encoders: width, depth, heads."""

Normalisation = Literal["tile", "plate", "tile_range", "plate_range", "tile_sd", "plate_sd", "none"]
"""How intensities are scaled; see campfire.model.normalise."""
Family = Literal["campfire", "ca_mae", "channelvit", "chada_vit", "contextvit"]
Rope = Literal["none", "mixed", "axial"]
RopeForm = Literal["rotation", "cosine"]


class ModelConfig(Options):
    """Architecture of the paper by default (sections 2.2 and 3.1, App. B)."""

    section: ClassVar[str] = "model"

    size: Literal["tiny", "small", "base", "large", "huge"] = option(
        "large", "width, depth and heads of the encoder by a standard name", source="paper App. B"
    )
    image_size: int = option(TILE_SIZE, "edge of a tile", unit="px", follows="tiles.size", ge=1)
    patch_size: int = option(14, "edge of a patch; divides the tile size", unit="px", source="paper 3.1", ge=1)
    width: int | None = option(None, "encoder width; overrides size", ge=1)
    depth: int | None = option(None, "encoder blocks; overrides size", ge=1)
    heads: int | None = option(None, "encoder attention heads; overrides size", ge=1)
    mlp_ratio: float = option(4.0, "hidden width of the MLPs over the block's width", gt=0)
    decoder_width: int = option(512, "decoder width", source="paper App. B", ge=1)
    decoder_depth: int = option(8, "decoder blocks", source="paper App. B", ge=1)
    decoder_heads: int = option(16, "decoder attention heads", ge=1)
    mask_ratio: float = option(
        0.8, "fraction of patches masked; max(1, int(N (1 - p))) patches are kept", source="paper 3.1", ge=0, lt=1
    )
    sync_mask: bool = option(True, "mask the same positions in all channels", source="paper App. B")
    drop_path: float = option(
        0.0, "stochastic depth of the last encoder block; grows linearly from 0 at the first", ge=0, lt=1
    )
    rope: Rope = option(
        "mixed",
        "none, mixed (learnt frequencies) or axial; beside the sin-cos positions",
        source="docs/decisions.md",
    )
    rope_form: RopeForm = option(
        "rotation", "rotation, or cosine: queries and keys times the cosine only, as the released code does"
    )
    rope_base: float = option(
        10.0, "base of the rotary frequencies; Heo et al. take 10 for mixed and 100 for axial, the release 10", gt=1
    )
    rope_start: Literal["random", "zero"] = option(
        "random",
        "mixed: initial angles of learnt frequencies, random by head (Heo et al.), or zero, which leaves the attention "
        "of ImageNet weights as it was trained",
    )
    channel_embedding: Literal["global", "batch", "sample", "learned"] = option(
        "global", "mean patch over all ranks (global), the rank (batch), the sample; or learned", source="paper 2.2"
    )
    channel_context: Literal["mean", "mean_spread"] = option(
        "mean",
        "what a channel's embedding is made of: the mean of its patch embeddings (the paper), or mean and spread",
    )
    decoder: Literal["shared", "per_channel"] = option(
        "shared", "shared by all channels (the paper), or per_channel (as CA-MAE)", source="paper 2.2"
    )
    family: Family = option(
        "campfire",
        "campfire (the paper); or a relative as a masked autoencoder: ca_mae, channelvit (an embedding per stain in "
        "the encoder), chada_vit (an embedding per slot), contextvit (a token that tells of the plate)",
    )
    context_group: Literal["plate", "batch"] = option(
        "plate", "contextvit: whose mean patch makes the context token: the tiles of a plate in a batch, or the batch"
    )
    channels: int = option(5, "channel indices that learned embeddings and per-channel decoders know", ge=1)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.rope_start == "zero" and self.rope == "mixed" and self.rope_form == "cosine":
            yield (
                "rope_start",
                "zero angles get no gradient through cosines alone; choose random, or rope_form rotation",
            )
        if self.image_size % self.patch_size:
            near = _divisor_near(self.image_size, self.patch_size)
            yield (
                "patch_size",
                f"{self.patch_size} px does not divide tiles of {self.image_size} px; choose a divisor such as {near}",
            )
        yield from self._family_contradictions()
        for part, width, heads in (
            ("", self.encoder_width, self.encoder_heads),
            ("decoder_", self.decoder_width, self.decoder_heads),
        ):
            multiple = heads * (4 if self.rope != "none" else 1)
            if width % 4 or width % multiple:
                yield f"{part}width", f"{width} must be a multiple of 4 and of {multiple} ({heads} heads)"

    def _family_contradictions(self) -> Iterator[tuple[str, str]]:
        """Mistakes in options that the chosen relative of Campfire requires."""
        decoder = {"ca_mae": "per_channel"}.get(self.family, "shared")
        if self.family != "campfire" and self.decoder != decoder:
            yield "decoder", f"family {self.family} needs `decoder: {decoder}`"
        if self.family in ("channelvit", "chada_vit") and self.channel_embedding != "learned":
            yield "channel_embedding", f"family {self.family} learns its channel embeddings; set it to `learned`"
        if self.family == "ca_mae":
            for name, wanted in (("sync_mask", False), ("drop_path", 0.0), ("rope", "none")):
                if getattr(self, name) != wanted:
                    yield name, f"family ca_mae does not support it; set {str(wanted).lower()}"

    @property
    def encoder_width(self) -> int:
        """Width of the encoder: as given, else by `size`."""
        return SIZES[self.size][0] if self.width is None else self.width

    @property
    def encoder_depth(self) -> int:
        """Blocks of the encoder: as given, else by `size`."""
        return SIZES[self.size][1] if self.depth is None else self.depth

    @property
    def encoder_heads(self) -> int:
        """Attention heads of the encoder: as given, else by `size`."""
        return SIZES[self.size][2] if self.heads is None else self.heads

    @property
    def context_width(self) -> int:
        """Length of a channel embedding, D'."""
        spread = self.channel_context == "mean_spread" and self.channel_embedding != "learned"
        return self.encoder_width * (2 if spread else 1)

    @property
    def grid(self) -> int:
        """Patches along one edge of a tile."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches of one channel of a tile, N."""
        return self.grid**2

    @property
    def kept(self) -> int:
        """Patches of a channel that the encoder sees in training (the release's rounding: 12 of 64 at 0.8)."""
        return max(1, int(self.patches * (1 - self.mask_ratio)))

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values; `ModelConfig(**config.to_dict()) == config`."""
        return self.values()


def _divisor_near(size: int, wanted: int) -> int:
    return min((d for d in range(1, size + 1) if size % d == 0), key=lambda d: abs(d - wanted))
