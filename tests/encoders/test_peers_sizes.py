"""Related encoders at sizes other than those of the recorded sets: nothing about them is fixed in loader or network."""

from pathlib import Path

import pytest
import torch

from campfire.core.errors import WeightsError
from campfire.model.peers import ca_mae, cell_dino, morphem
from campfire.model.peers.vit import VisionTransformer, VitShape
from support import peers
from support.peer_outputs import PEERS
from support.peer_sizes import write_other_sizes
from support.peer_weights import fill

SIZES = [(8, 48, 1, 3, 4), (16, 96, 5, 12, 3), (14, 40, 2, 2, 5)]
"""Patch, width, depth, heads, patches along a side."""


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recorded = shared / "data/peers"
    if not recorded.is_dir():
        pytest.skip(f"the recorded outputs of related encoders are not at {recorded}")
    place = tmp_path_factory.mktemp("sizes")
    write_other_sizes(place, recorded)
    return place


@pytest.mark.parametrize("peer", PEERS)
def test_every_recorded_output_can_be_computed_at_another_size(folder: Path, peer: str) -> None:
    for path in sorted((folder / peer).glob("outputs*.npz")):
        report = peers.compare(peer, path, PEERS[peer](folder / peer, path.stem.removeprefix("outputs")))
        assert report.outputs, path.name
        assert set(report.left_out) <= {"train_counts_of_2000", "returns_pairs_without_return_class_token"}


@pytest.mark.parametrize(("patch", "width", "depth", "heads", "side"), SIZES)
@pytest.mark.parametrize("channels", [1, 4])
def test_dino_networks_are_timms_at_every_size(
    patch: int, width: int, depth: int, heads: int, side: int, channels: int
) -> None:
    from timm.models.vision_transformer import VisionTransformer as Timm

    scaled = channels > 1  # Cell-DINO has a layer scale, MorphEm none
    shape = VitShape(channels, patch, width, depth, heads, 3 * width, 1 + side**2, scaled=scaled, masked=scaled)
    tensors = fill(VisionTransformer(shape), width)
    theirs = Timm(
        img_size=side * patch,
        patch_size=patch,
        in_chans=channels,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=3,
        init_values=1.0 if scaled else None,
    )
    theirs.load_state_dict({name: value for name, value in tensors.items() if name != "mask_token"})
    model = (cell_dino if scaled else morphem).build(tensors, heads)
    images = torch.randn(2, channels, side * patch, side * patch, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(model(images), theirs.eval().forward_features(images), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("patch", "width", "depth", "heads", "side"), SIZES)
def test_ca_mae_blocks_are_timms_at_every_size(patch: int, width: int, depth: int, heads: int, side: int) -> None:
    from timm.models.vision_transformer import ParallelScalingBlock

    encoder = ca_mae.EncoderShape(patch, width, depth, heads, 1 + 2 * side**2)
    tensors = fill(ca_mae.CaMae(encoder), width)
    backbone = ca_mae.build(tensors, "sound").backbone
    x = torch.randn(2, 7, width, generator=torch.Generator().manual_seed(1))
    ours, theirs = x, x
    with torch.inference_mode():
        for number in range(depth):
            start = f"encoder.vit_backbone.blocks.{number}."
            block = ParallelScalingBlock(width, heads, qk_norm=True, init_values=1.0).eval()
            own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
            block.load_state_dict(own)
            for norm in (block.in_norm, block.q_norm, block.k_norm):
                norm.eps = 1e-6
            theirs = block(theirs)
        ours = backbone.encode(ours)
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


def test_registers_that_no_published_encoder_has_are_refused_by_name() -> None:
    shape = VitShape(4, 8, 32, 1, 2, 64, 10, scaled=True, masked=True)
    tensors = {**fill(VisionTransformer(shape), 0), "register_tokens": torch.zeros(1, 4, 32)}
    with pytest.raises(WeightsError, match="register_tokens"):
        cell_dino.build(tensors, 2)
