"""The architecture of a masked autoencoder as plain values."""

from dataclasses import asdict, dataclass
from typing import Any

from campfire.core.errors import ConfigError

SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}
"""Standard ViT encoders: width, depth, heads."""

CHOICES = {
    "size": tuple(SIZES),
    "rope": ("none", "mixed", "axial"),
    "rope_form": ("rotation", "cosine"),
    "channel_embedding": ("global", "batch", "sample", "learned"),
    "channel_context": ("mean", "mean_spread"),
    "decoder": ("shared", "per_channel"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of the paper by default (sections 2.2 and 3.1, App. B).

    Raises ConfigError on values that do not fit. `width`, `depth` and `heads` are filled in
    from `size` where they are not given.
    """

    size: str = "large"  # tiny, small, base, large, huge: width, depth and heads of the encoder
    image_size: int = 112  # edge of a tile, px
    patch_size: int = 14  # edge of a patch, px; divides image_size
    width: int | None = None  # encoder width; overrides size
    depth: int | None = None  # encoder blocks; overrides size
    heads: int | None = None  # encoder attention heads; overrides size
    mlp_ratio: float = 4.0  # hidden width of the MLPs over the block's width
    decoder_width: int = 512  # decoder width
    decoder_depth: int = 8  # decoder blocks
    decoder_heads: int = 16  # decoder attention heads
    mask_ratio: float = 0.8  # fraction of patches masked; max(1, int(N (1 - p))) patches are kept
    sync_mask: bool = True  # mask the same positions in all channels
    drop_path: float = 0.0  # stochastic depth of the last encoder block; grows linearly from 0 at the first
    rope: str = "mixed"  # none, mixed (learnt frequencies) or axial; beside the sin-cos positions
    rope_form: str = (
        "rotation"  # rotation, or cosine: queries and keys times the cosine only, as the released code does
    )
    channel_embedding: str = "global"  # mean patch over all ranks (global), the rank (batch), the sample; or learned
    channel_context: str = "mean"  # mean of a channel's patch embeddings (the paper), or mean and spread
    decoder: str = "shared"  # shared by all channels (the paper), or per_channel (as CA-MAE)
    channels: int = 5  # number of channel indices that learned embeddings and per-channel decoders know

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise ConfigError(f"model.{field}: {getattr(self, field)!r} is not one of {', '.join(allowed)}")
        for field, value in zip(("width", "depth", "heads"), SIZES[self.size], strict=True):
            if getattr(self, field) is None:
                object.__setattr__(self, field, value)
        for field in ("image_size", "patch_size", "width", "depth", "heads", "decoder_width", "decoder_depth"):
            if getattr(self, field) < 1:
                raise ConfigError(f"model.{field}: {getattr(self, field)} must be at least 1")
        if self.image_size % self.patch_size:
            raise ConfigError(
                f"model.patch_size: {self.patch_size} px does not divide tiles of {self.image_size} px; "
                f"choose a divisor such as {_divisor_near(self.image_size, self.patch_size)}"
            )
        for part, width, heads in (
            ("", self.encoder_width, self.encoder_heads),
            ("decoder_", self.decoder_width, self.decoder_heads),
        ):
            multiple = heads * (4 if self.rope != "none" else 1)
            if width % 4 or width % multiple:
                raise ConfigError(
                    f"model.{part}width: {width} must be a multiple of 4 and of {multiple} ({heads} heads)"
                )
        if not 0 <= self.mask_ratio < 1:
            raise ConfigError(f"model.mask_ratio: {self.mask_ratio} must lie in [0, 1)")
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"model.drop_path: {self.drop_path} must lie in [0, 1)")

    @property
    def encoder_width(self) -> int:
        return int(self.width or 0)

    @property
    def encoder_depth(self) -> int:
        return int(self.depth or 0)

    @property
    def encoder_heads(self) -> int:
        return int(self.heads or 0)

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
        return asdict(self)


def _divisor_near(size: int, wanted: int) -> int:
    return min((d for d in range(1, size + 1) if size % d == 0), key=lambda d: abs(d - wanted))
