"""The plain ImageNet MAE of config/sceptic.yaml as an encoder: channel by channel, mean of its patch tokens."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from campfire.core.errors import WeightsError
from campfire.encoders import load
from campfire.model.normalise import normalise
from support.raw_tiles import RGB, raw

MAE = "vit_base_patch16_224.mae"
"""The smallest that timm publishes."""


def test_an_mae_file_is_read_channel_by_channel_and_pooled_by_its_patches(repository: Path, tmp_path: Path) -> None:
    import timm

    spec = yaml.safe_load((repository / "config/sceptic.yaml").read_text(encoding="utf-8"))["encoders"]["imagenet_mae"]
    assert spec["model"].endswith(".mae")
    torch.manual_seed(0)
    model = timm.create_model(MAE, pretrained=False, num_classes=0).eval()
    path = tmp_path / "mae.safetensors"
    tensors = {name: value for name, value in model.state_dict().items() if not name.startswith("head.")}
    save_file(tensors, path)
    encoder = load({**spec, "model": MAE, "weights": str(path)}, "cpu")

    images = raw(1, size=112)
    values = normalise(images, "tile_range")
    values = torch.nn.functional.interpolate(values, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    mean, deviation = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        tokens = [
            model.forward_features((values[:, i, None].expand(-1, 3, -1, -1) - mean) / deviation) for i in range(3)
        ]
    expected = torch.stack([found[:, 1:].mean(1) for found in tokens]).mean(0)
    torch.testing.assert_close(encoder.embed(images, RGB), expected, atol=1e-5, rtol=1e-4)
    assert (expected - torch.stack([found[:, 0] for found in tokens]).mean(0)).abs().max() > 0.01

    del tensors["blocks.11.mlp.fc2.weight"]
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"mae\.safetensors"):
        load({**spec, "model": MAE, "weights": str(path)}, "cpu")
