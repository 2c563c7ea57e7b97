"""The masked autoencoder: options, invariances, initial values, weight files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from campfire.core.errors import ConfigError, WeightsError
from campfire.model import (
    MaskedAutoencoder,
    ModelConfig,
    load_weights,
    patchify,
    read_header,
    save_weights,
    unpatchify,
    weights_digest,
)
from campfire.model.imagenet import copy_transformer
from campfire.model.positions import rotary_tables, rotate, sincos_table

SMALL = {"width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}


def build(seed: int = 0, **options: Any) -> MaskedAutoencoder:
    return MaskedAutoencoder(ModelConfig(**{"image_size": 28, "patch_size": 7, **SMALL, **options}), seed)


def tiles(batch: int = 4, channels: int = 3, size: int = 28, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))


def test_sizes_fill_in_and_overrides_win() -> None:
    large = ModelConfig()
    assert (large.encoder_width, large.encoder_depth, large.encoder_heads) == (1024, 24, 16)
    assert (large.kept, large.patches) == (12, 64)
    assert ModelConfig(size="huge").encoder_heads == 16
    assert ModelConfig(size="tiny", depth=3).depth == 3
    assert ModelConfig(**ModelConfig(size="base").to_dict()) == ModelConfig(size="base")
    assert ModelConfig(mask_ratio=0.75).kept == 16
    assert ModelConfig(mask_ratio=0.999).kept == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "giant"}, "model.size"),
        ({"patch_size": 15}, "divisor such as 14"),
        ({"width": 100, "heads": 8}, "model.width"),
        ({"decoder_width": 40, "decoder_heads": 4}, "model.decoder_width"),
        ({"mask_ratio": 1.0}, "model.mask_ratio"),
        ({"rope": "2d"}, "model.rope"),
        ({"depth": 0}, "model.depth"),
    ],
)
def test_values_that_do_not_fit_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ModelConfig(**options)


@pytest.mark.parametrize(("size", "patch"), [(28, 7), (32, 8), (30, 10), (16, 16), (24, 4)])
@pytest.mark.parametrize("rope", ["none", "mixed", "axial"])
def test_any_image_and_patch_size(size: int, patch: int, rope: str) -> None:
    model = build(image_size=size, patch_size=patch, rope=rope)
    images = tiles(2, 2, size)
    assert model.embed(images).shape == (2, 32)
    output = model(images, torch.arange(2), generator=torch.Generator().manual_seed(0))
    assert output.prediction.shape == images.shape
    expected = model.config.patches - model.config.kept
    assert torch.equal(output.mask.sum(2), torch.full((2, 2), float(expected)))


def test_patches_are_cut_row_by_row_and_put_back() -> None:
    images = tiles(2, 3)
    patches = patchify(images, 7)
    torch.testing.assert_close(patches[1, 2, 5].reshape(7, 7), images[1, 2, 7:14, 7:14])
    assert torch.equal(unpatchify(patches, 7), images)


def test_the_patch_product_is_the_convolution_shared_by_channels() -> None:
    model, images = build(), tiles()
    convolution = model.encoder.patch_embed["proj"]
    volume = torch.nn.functional.conv3d(images[:, None], convolution.weight, convolution.bias, stride=(1, 7, 7))
    expected = volume.flatten(3).permute(0, 2, 3, 1)
    torch.testing.assert_close(model.encoder.project(patchify(images, 7)), expected, atol=1e-5, rtol=1e-5)


def test_embedding_ignores_labels_order_of_channels_and_the_rest_of_the_batch() -> None:
    model, images = build(), tiles()
    whole = model.embed(images, torch.arange(3))
    torch.testing.assert_close(model.embed(images, torch.tensor([4, 0, 9])), whole)
    torch.testing.assert_close(model.embed(images[:, [2, 0, 1]]), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.embed(images[1:2]), whole[1:2], atol=1e-5, rtol=1e-5)


def test_rotary_angles_depend_on_relative_position_only() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 1, 2, 8, generator=generator)

    def product(first: float, second: float) -> torch.Tensor:
        frequencies = torch.tensor([[1.0, 0.5, 0.2, 0.1], [0.0] * 4])[:, None]
        cosine, sine = rotary_tables(frequencies, torch.tensor([[[first, 7.0], [second, 9.0]]]), "rotation")
        turned = [rotate(x, cosine, sine) for x in (query, key)]
        return (turned[0][..., 0, :] * turned[1][..., 1, :]).sum()

    torch.testing.assert_close(product(3.0, 5.0), product(10.0, 12.0))
    assert abs(float(product(3.0, 5.0) - product(3.0, 6.0))) > 1e-3


def test_rotation_is_the_same_in_complex_and_real_arithmetic() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 8, generator=generator)
    angles = torch.rand(1, 3, 5, 4, generator=generator) * 6
    fast = rotate(x, angles.cos(), angles.sin())
    exact = rotate(x.double(), angles.cos(), angles.sin())
    torch.testing.assert_close(fast.double(), exact, atol=1e-6, rtol=1e-6)


def test_sincos_rows_and_columns() -> None:
    table = sincos_table(8, 3)[0]
    assert torch.equal(table[0], torch.zeros(8))
    patch = table[1 + 2 * 3 + 1].double()  # row 2, column 1
    frequency = torch.tensor([1.0, 0.01], dtype=torch.float64)
    expected = torch.cat([(2 * frequency).sin(), (2 * frequency).cos(), frequency.sin(), frequency.cos()])
    torch.testing.assert_close(patch, expected, atol=1e-7, rtol=0)


def test_masks_agree_between_channels_only_when_synchronised() -> None:
    images = tiles(8)
    generator = torch.Generator().manual_seed(0)
    together = build(sync_mask=True)(images, torch.arange(3), generator=generator).mask
    apart = build(sync_mask=False)(images, torch.arange(3), generator=generator).mask
    assert torch.equal(together[:, 0], together[:, 2])
    assert not torch.equal(apart[:, 0], apart[:, 2])
    assert torch.equal(apart.sum(2), together.sum(2))


@pytest.mark.parametrize("rope", ["none", "mixed", "axial"])
def test_unsynchronised_masks_put_every_token_in_its_place(rope: str) -> None:
    # Keeping everything, in a shuffled order of its own for each channel, must equal the unmasked pass.
    model, images = build(rope=rope, sync_mask=False, mask_ratio=0.0), tiles()
    shuffled = model(images, torch.arange(3), generator=torch.Generator().manual_seed(1))
    plain = model.reconstruct(images, torch.arange(3), mask=False)
    torch.testing.assert_close(shuffled.prediction, plain.prediction, atol=1e-5, rtol=1e-5)


def test_the_encoder_does_not_see_masked_pixels() -> None:
    model, images = build(channel_embedding="learned"), tiles()
    noise = torch.rand(4, 16, generator=torch.Generator().manual_seed(0))
    output = model(images, torch.arange(3), noise=noise)
    altered = torch.where(output.pixel_mask() > 0, tiles(seed=9), images)
    torch.testing.assert_close(model(altered, torch.arange(3), noise=noise).prediction, output.prediction)
    seen = torch.where(output.pixel_mask() > 0, images, tiles(seed=9))
    assert (model(seen, torch.arange(3), noise=noise).prediction - output.prediction).abs().max() > 1e-3


def test_channel_embeddings_differ_in_what_they_average() -> None:
    images, index = tiles(), torch.tensor([[0, 1, 2], [2, 0, 1], [0, 1, 2], [1, 1, 0]])
    context = {}
    for mode in ("global", "batch", "sample"):
        model = build(channel_embedding=mode)
        context[mode] = model._context(patchify(images, 7), index)
    mean = build().encoder.project(patchify(images, 7)).mean(2)
    torch.testing.assert_close(context["sample"], mean, atol=1e-5, rtol=1e-5)
    expected = torch.stack([mean[index == label].mean(0) for label in range(3)])[index]
    torch.testing.assert_close(context["batch"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(context["global"], context["batch"])
    assert not context["global"].requires_grad


@pytest.mark.parametrize("options", [{"channel_embedding": "learned"}, {"decoder": "per_channel"}])
def test_every_part_that_a_batch_uses_learns(options: dict[str, Any]) -> None:
    model, images = build(**options), tiles()
    output = model(images, torch.arange(3), generator=torch.Generator().manual_seed(0))
    output.prediction.square().mean().backward()
    idle = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all(name.startswith(("decoders.3.", "decoders.4.")) for name in idle)
    assert model.encoder.project(images.new_zeros(1, 49)).requires_grad
    with pytest.raises(ConfigError, match="outside"):
        model(images, torch.tensor([0, 1, 5]), generator=torch.Generator().manual_seed(0))


def test_per_channel_decoders_serve_mixed_labels() -> None:
    model, images = build(decoder="per_channel"), tiles()
    index = torch.tensor([[0, 1, 2], [2, 0, 1], [4, 3, 0], [1, 2, 2]])
    noise = torch.rand(4, 16, generator=torch.Generator().manual_seed(0))
    together = model(images, index, noise=noise).prediction
    for sample in range(4):
        alone = model(images[sample : sample + 1], index[sample], noise=noise[sample : sample + 1]).prediction
        torch.testing.assert_close(together[sample : sample + 1], alone, atol=1e-5, rtol=1e-5)


def test_reconstruction_is_repeatable_and_leaves_the_mode_alone() -> None:
    model = build(drop_path=0.5).train()
    first = model.reconstruct(tiles(), torch.arange(3))
    second = model.reconstruct(tiles(), torch.arange(3))
    assert torch.equal(first.prediction, second.prediction)
    assert model.training
    assert not first.prediction.requires_grad
    assert model.reconstruct(tiles(), torch.arange(3), mask=False).mask.sum() == 0


def test_stochastic_depth_skips_branches_by_the_given_draws() -> None:
    model, images = build(drop_path=0.5).train(), tiles()
    draws = model.draw(4, 3, torch.Generator().manual_seed(0))
    assert draws["paths"].shape == (4, 4)
    scales = model.encoder._branch_scales(torch.full((4, 1), 0.49))
    torch.testing.assert_close(scales.flatten(), torch.tensor([1.0, 1.0, 2.0, 2.0]))
    through = model(images, torch.arange(3), noise=draws["noise"], paths=torch.zeros(4, 4)).latent
    skipped = model(images, torch.arange(3), noise=draws["noise"], paths=torch.full((4, 4), 0.99)).latent
    assert (through - skipped).abs().max() > 1e-3
    # With its last block always skipped the encoder is the one without that block.
    shallow = build(depth=1)
    shallow.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(shallow(images, torch.arange(3), noise=draws["noise"]).latent, skipped)


def test_initial_values_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert weights_digest(build(seed=3)) == weights_digest(first)
    assert weights_digest(build(seed=4)) != weights_digest(first)
    qkv = first.encoder.blocks[0].attn.qkv.weight
    assert qkv.abs().max() <= (6 / (32 + 96)) ** 0.5
    assert qkv.std().item() == pytest.approx((2 / (32 + 96)) ** 0.5, rel=0.05)
    assert torch.equal(first.encoder.blocks[0].norm1.weight, torch.ones(32))
    assert all(torch.isfinite(value).all() for value in first.parameters())


@pytest.mark.parametrize(
    ("images", "index", "words"),
    [
        (torch.zeros(2, 3, 30, 30), torch.arange(3), "28, 28"),
        (torch.zeros(2, 3, 28, 28), torch.arange(2), "one index per channel"),
        (torch.zeros(2, 3, 28, 28), torch.tensor([0, 1, 256]), "outside 0..255"),
    ],
)
def test_wrong_input_is_refused(images: Any, index: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build()(images, index, generator=torch.Generator().manual_seed(0))


def test_a_masked_pass_without_any_source_of_noise_is_refused() -> None:
    with pytest.raises(ConfigError, match="generator="):
        build()(tiles(), torch.arange(3))


def test_weights_come_back_with_their_header(tmp_path: Path) -> None:
    model, path = build(seed=5, rope="axial"), tmp_path / "model.safetensors"
    save_weights(model, path, {"normalisation": "plate", "seed": 5})
    loaded, header = load_weights(path)
    assert loaded.config == model.config
    assert not loaded.training
    assert header["normalisation"] == "plate"
    assert read_header(path)["seed"] == 5
    assert weights_digest(loaded) == weights_digest(model)
    assert not loaded.encoder.pos_embed.requires_grad
    assert loaded.encoder.cls_token.requires_grad
    torch.testing.assert_close(loaded.embed(tiles()), model.embed(tiles()))
    first = path.read_bytes()
    save_weights(model, path, {"seed": 5, "normalisation": "plate"})
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_weights_that_are_missing_damaged_or_strange_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(WeightsError, match="no such weights"):
        load_weights(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(WeightsError, match=r"cut\.safetensors"):
        load_weights(tmp_path / "cut.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no campfire configuration"):
        load_weights(tmp_path / "other.safetensors")
    model = build()
    tensors = {k: v for k, v in model.state_dict().items() if k != "decoder.pred.bias"} | {"extra": torch.zeros(1)}
    header = {"campfire": json.dumps({"model": model.config.to_dict()})}
    save_file(tensors, tmp_path / "holes.safetensors", metadata=header)
    with pytest.raises(WeightsError, match=r"1 missing: decoder.pred.bias; 1 unknown: extra"):
        load_weights(tmp_path / "holes.safetensors")


def test_a_timm_transformer_gives_the_encoder_its_weights() -> None:
    from timm.models.vision_transformer import VisionTransformer

    source = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0).eval()
    torch.nn.init.normal_(source.norm.weight, 1, 0.1)
    model = build(image_size=32, patch_size=8, rope="none").eval()
    copy_transformer(source, model)
    with torch.no_grad():
        # With the model's own positions a grey RGB image must pass alike.
        source.pos_embed.copy_(model.encoder.pos_embed)
        grey = tiles(2, 1, 32)
        expected = source.forward_features(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(model.encoder(patchify(grey, 8)), expected, atol=1e-4, rtol=1e-4)
    resized = build(image_size=28, patch_size=7, rope="none")
    copy_transformer(source, resized)
    assert torch.isfinite(resized.embed(tiles())).all()
    with pytest.raises(WeightsError, match="does not fit"):
        copy_transformer(source, build(width=48, heads=2))


def test_the_pass_compiles_into_one_graph() -> None:
    model, images = build(drop_path=0.1).train(), tiles()
    draws = model.draw(4, 3, torch.Generator().manual_seed(0))
    whole = torch.compile(model, backend="eager", fullgraph=True)(images, torch.arange(3), **draws)
    plain = model(images, torch.arange(3), **draws)
    torch.testing.assert_close(whole.prediction, plain.prediction, atol=1e-6, rtol=1e-5)


def test_blocks_of_one_size_compile_as_one() -> None:
    graphs = CompileCounter()
    model, images = build(depth=5, decoder_depth=3, drop_path=0.1).train(), tiles()
    draws = model.draw(4, 3, torch.Generator().manual_seed(0))
    plain = model(images, torch.arange(3), **draws)
    model.compile_blocks(backend=graphs, fullgraph=True, dynamic=False)
    compiled = model(images, torch.arange(3), **draws)
    assert graphs.frame_count == 2  # the encoder's and the decoder's
    torch.testing.assert_close(compiled.prediction, plain.prediction, atol=1e-6, rtol=1e-5)
    model(images[:, :2], torch.arange(2), noise=draws["noise"], paths=draws["paths"])
    assert graphs.frame_count == 4 and list(model.state_dict()) == list(build(depth=5, decoder_depth=3).state_dict())


def _rank(rank: int, path: str) -> None:
    """One of two processes, each with half of a batch."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=2)
    model, half = build().train(), tiles()[2 * rank : 2 * rank + 2]
    index = torch.tensor([[0, 1, 2], [0, 0, 3], [1, 2, 3], [2, 1, 0]])[2 * rank : 2 * rank + 2]
    np.save(f"{path}/{rank}.npy", model._context(patchify(half, 7), index).numpy())
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_global_channel_embeddings_are_means_over_all_ranks(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, args=(str(tmp_path),), nprocs=2)
    index = torch.tensor([[0, 1, 2], [0, 0, 3], [1, 2, 3], [2, 1, 0]])
    expected = build()._context(patchify(tiles(), 7), index).numpy()
    found = np.concatenate([np.load(tmp_path / f"{rank}.npy") for rank in range(2)])
    np.testing.assert_allclose(found, expected, atol=1e-6)
