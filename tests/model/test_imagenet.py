"""Weights of a timm MAE in our encoder: the same function of the same image."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from campfire.core.errors import ConfigError
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.model.imagenet import columns_first, copy_transformer


def mae_positions(width: int, grid: int) -> Tensor:
    """He et al.'s table (1, 1 + grid^2, width): per patch the column's sines and cosines, then the row's."""
    frequency = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    table = torch.zeros(1, 1 + grid * grid, width, dtype=torch.float64)
    for row in range(grid):
        for column in range(grid):
            x, y = column * frequency, row * frequency
            table[0, 1 + row * grid + column] = torch.cat([x.sin(), x.cos(), y.sin(), y.cos()])
    return table.float()


@pytest.fixture(scope="module")
def mae() -> VisionTransformer:
    """A small ViT with every trainable tensor random and MAE's fixed positions."""
    torch.manual_seed(3)
    vit = VisionTransformer(img_size=224, patch_size=16, embed_dim=64, depth=2, num_heads=4, num_classes=0)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        assert vit.pos_embed is not None
        vit.pos_embed.copy_(mae_positions(64, 14))
    return vit.eval()


def ours(source: VisionTransformer, **changes: object) -> MaskedAutoencoder:
    small = {"width": 64, "depth": 2, "heads": 4, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    values = {"image_size": 224, "patch_size": 16, "mask_ratio": 0.0, "rope": "none", **small, **changes}
    model = MaskedAutoencoder(ModelConfig(**values)).eval()  # type: ignore[arg-type]
    copy_transformer(source, model)
    return model


def grey() -> Tensor:
    return torch.randn(2, 1, 224, 224, generator=torch.Generator().manual_seed(0))


def difference(model: MaskedAutoencoder, source: VisionTransformer) -> float:
    """Largest between timm's tokens of a grey image as RGB and ours, whose feature halves are swapped."""
    with torch.no_grad():
        wanted = source.forward_features(grey().expand(-1, 3, -1, -1))
        found = model.reconstruct(grey(), torch.zeros(1, dtype=torch.long), mask=False).latent
    return float((found.roll(32, dims=2) - wanted).abs().max())


def test_our_encoder_equals_timms_mae(mae: VisionTransformer) -> None:
    assert difference(ours(mae), mae) < 1e-4


def test_rotary_positions_that_start_at_zero_leave_it_as_it_was(mae: VisionTransformer) -> None:
    assert difference(ours(mae, rope="mixed", rope_start="zero"), mae) < 1e-4
    assert difference(ours(mae, rope="mixed"), mae) > 0.1
    with pytest.raises(ConfigError, match="no gradient"):
        ModelConfig(rope="mixed", rope_start="zero", rope_form="cosine")


def test_learned_positions_are_not_taken_for_maes(mae: VisionTransformer) -> None:
    assert columns_first(mae_positions(64, 14))
    assert not columns_first(torch.randn(1, 197, 64, generator=torch.Generator().manual_seed(1)))
    assert not columns_first(torch.cat([mae_positions(64, 14)[..., 32:], mae_positions(64, 14)[..., :32]], dim=2))
