"""The model can fill in real cells: a small one learns eight tiles of a JUMP field by heart, each channel as itself."""

from pathlib import Path

import numpy as np
import pytest
import torch

from campfire.images.nuclei import segment_plate
from campfire.images.tiles import open_plate, write_plate
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.model.normalise import normalise, rescale
from campfire.training.channel_scores import ChannelScores, blindness
from campfire.training.objective import masked_mean
from support.nuclei_fields import real_folder

CHANNELS = ["DNA", "AGP", "Mito"]
STEPS, SEED = 500, 2


@pytest.mark.slow
def test_each_channel_of_real_tiles_comes_back(shared: Path, tmp_path: Path) -> None:
    """Always the same masks and tiles. Random masks, subsets and augmentation take many times as many steps.

    The bounds are the errors of the tile's mean over channels, the best that a model blind to channels can do.
    """
    folder = real_folder(shared, tmp_path / "BR00117035")
    nuclei, _ = segment_plate(folder, 0.598)
    write_plate(tmp_path / "tiles.npy", folder, nuclei, CHANNELS)
    store = open_plate(tmp_path / "tiles.npy")
    raw = torch.from_numpy(np.array(store.images[np.linspace(0, len(store) - 1, 8).astype(int)]))
    images, scale = normalise(raw, "tile"), rescale(raw, "tile", "tile_sd")
    torch.set_num_threads(1)
    config = ModelConfig(
        width=64, depth=2, heads=4, decoder_width=48, decoder_depth=1, decoder_heads=4, mask_ratio=0.75
    )
    model, index = MaskedAutoencoder(config, seed=SEED), torch.arange(len(CHANNELS))
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 20)
        draws = model.draw(len(images), len(CHANNELS), torch.Generator().manual_seed(0))
        output = model(images, index, scale=scale, **draws)
        optimiser.zero_grad()
        masked_mean((output.prediction - output.target).square(), output.mask).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    scores = ChannelScores(CHANNELS, images.shape[2])
    scores.add(output.prediction.detach(), output.target, output.pixel_mask(), CHANNELS)
    found = scores.values(scores.sums)
    for channel in CHANNELS:
        assert found[f"masked_error_{channel}"] < found[f"floor_blind_{channel}"], channel
    missing = blindness(found)
    assert missing is not None and missing < 0.4
