"""Campfire's relatives as masked autoencoders of this project."""

from pathlib import Path
from typing import Any

import pytest
import torch

from campfire.core.errors import ConfigError
from campfire.model import ModelConfig, build_model, load_weights, save_weights
from campfire.model.ca_mae_autoencoder import CaMaeAutoencoder
from campfire.model.peers import ca_mae, ca_mae_decoder
from campfire.model.relatives import FAMILIES, ContextAutoencoder
from campfire.training.objective import Objective
from campfire.training.options import ObjectiveOptions

SIZE: dict[str, Any] = {
    "image_size": 32, "patch_size": 8, "width": 32, "depth": 2, "heads": 4, "decoder_width": 16, "decoder_depth": 1,
    "decoder_heads": 2, "mask_ratio": 0.5, "rope": "none", "channels": 5,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "campfire": {},
    "channelvit": {"channel_embedding": "learned"},
    "chada_vit": {"channel_embedding": "learned"},
    "contextvit": {},
    "ca_mae": {"decoder": "per_channel", "sync_mask": False},
}
INDEX = torch.tensor([0, 3, 1])


def config(family: str, **changes: Any) -> ModelConfig:
    return ModelConfig(**{**SIZE, "family": family, **OPTIONS[family], **changes})


def images(batch: int = 4, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, channels, 32, 32, generator=torch.Generator().manual_seed(seed))


def embed(model: Any, values: torch.Tensor, index: torch.Tensor = INDEX) -> torch.Tensor:
    with torch.no_grad():
        if isinstance(model, ContextAutoencoder):
            return model.embed_in(values, model.context_of(images(seed=9)))
        found: torch.Tensor = model.embed(values, index)
        return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_masked_pass_reconstructs_and_trains_every_parameter(family: str) -> None:
    model = build_model(config(family), seed=1)
    values = images()
    output = model(values, INDEX, generator=torch.Generator().manual_seed(2))
    assert output.prediction.shape == output.target.shape == values.shape
    assert output.mask.shape == (4, 3, 16)
    assert output.mask.mean() == pytest.approx(0.5)
    assert output.pixel_mask().shape == values.shape
    loss = Objective(ObjectiveOptions())(output.prediction, output.target, output.mask)["loss"]
    loss.backward()
    still = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    # Channels that are not in the batch have decoders of their own; the final norm of the pooled embedding is unused.
    assert all("decoders." in name or "modality_tokens" in name or "fc_norm" in name for name in still)
    assert not still or family == "ca_mae"


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "ca_mae"])
def test_rotary_positions_go_with_every_family(family: str) -> None:
    model = build_model(config(family, rope="mixed"), seed=1)
    output = model(images(), INDEX, generator=torch.Generator().manual_seed(2))
    output.prediction.square().mean().backward()
    assert all(v.grad is not None for n, v in model.named_parameters() if n.endswith("freqs"))


@pytest.mark.parametrize("family", FAMILIES)
def test_training_learns_to_reconstruct(family: str) -> None:
    model = build_model(config(family), seed=1).train()
    rows = torch.linspace(-1, 1, 32)
    values = torch.stack([rows[:, None] * k + rows * (3 - k) for k in range(4)])[:, None].expand(-1, 3, -1, -1)
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    objective, generator, losses = Objective(ObjectiveOptions()), torch.Generator().manual_seed(3), []
    for _ in range(60):
        output = model(values, INDEX, generator=generator)
        loss = objective(output.prediction, output.target, output.mask)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_do_not_depend_on_the_batch(family: str) -> None:
    model = build_model(config(family), seed=1).eval()
    together = embed(model, images())
    assert together.shape == (4, 32) and together.dtype == torch.float32
    alone = torch.cat([embed(model, images()[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_come_back_from_their_file(family: str, tmp_path: Path) -> None:
    model = build_model(config(family), seed=5).eval()
    save_weights(model, tmp_path / "model.safetensors", {"seed": 5})
    again, header = load_weights(tmp_path / "model.safetensors")
    assert type(again) is type(model) and header["model"]["family"] == family
    torch.testing.assert_close(embed(again, images()), embed(model, images()))
    assert torch.equal(embed(build_model(config(family), seed=5).eval(), images()), embed(model, images()))


def test_which_encoders_depend_on_the_order_of_channels() -> None:
    turned = torch.tensor([2, 0, 1])
    same = {"campfire": True, "channelvit": True, "chada_vit": False, "contextvit": True, "ca_mae": True}
    for family, expected in same.items():
        model = build_model(config(family), seed=1).eval()
        first, other = embed(model, images()), embed(model, images()[:, turned], INDEX[turned])
        assert torch.allclose(first, other, atol=1e-5) is expected, family
    # ChannelViT goes by the stain, not by the place.
    model = build_model(config("channelvit"), seed=1).eval()
    assert not torch.allclose(embed(model, images()), embed(model, images(), torch.tensor([1, 3, 0])), atol=1e-5)
    with pytest.raises(ConfigError, match="give channel_index"):
        model.embed(images())
    with pytest.raises(ConfigError, match="5 slots"):
        build_model(config("chada_vit"), seed=1).embed(images(channels=6))


def test_context_is_of_the_plate_and_its_gradient_reaches_other_tiles_of_it() -> None:
    model = build_model(config("contextvit"), seed=1).eval()
    noise = torch.rand(4, 16, generator=torch.Generator().manual_seed(0))
    values = images().requires_grad_()
    output = model(values, INDEX, noise=noise, groups=torch.tensor([7, 2, 7, 2]))
    (gradient,) = torch.autograd.grad(output.latent[0].square().sum(), values)
    size = gradient.flatten(1).norm(dim=1)
    assert size[2] > 0 and size[1] == size[3] == 0
    by_batch = build_model(config("contextvit", context_group="batch"), seed=1).eval()
    other = by_batch(images(), INDEX, noise=noise, groups=torch.tensor([7, 2, 7, 2]))
    whole = model(images(), INDEX, noise=noise, groups=torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(other.prediction, whole.prediction)
    assert (whole.prediction - output.prediction).abs().max() > 1e-4


def test_ca_mae_is_the_published_network_in_its_sound_form() -> None:
    model = build_model(config("ca_mae"), seed=1).eval()
    assert isinstance(model, CaMaeAutoencoder)
    tensors = {name.replace("encoder.", "encoder.vit_backbone.", 1) if name.startswith("encoder.") else name: value
               for name, value in model.state_dict().items()}  # fmt: skip
    theirs = ca_mae.build(tensors, "sound", decoder_heads=2)
    values, everything = images(channels=5), torch.arange(5)
    noise = torch.rand(4, 5, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, run = model(values, everything, noise=noise), theirs(values, noise.flatten(1), 0.5)
        whole = ca_mae_decoder.whole_images(run.prediction, 5, 8)
        torch.testing.assert_close(ours.prediction, whole)
        torch.testing.assert_close(ours.latent, run.latent)
        assert torch.equal(ours.mask.flatten(1), run.mask)
        expected = ca_mae.embedding(theirs.backbone, theirs.backbone(values))
        torch.testing.assert_close(model.embed(values), expected)
    # One pool over all channels: channels of a tile keep different numbers of tokens.
    assert len(set((1 - ours.mask).sum(dim=2).flatten().tolist())) > 1
    # Its loss: the published one, its Fourier term per patch.
    options = ObjectiveOptions(spatial=0.99, high=0.0, frequency=0.01, l1="patch_amplitude")
    found = Objective(options)(ours.prediction, ours.target, ours.mask)
    target = ca_mae_decoder.patch_targets(values, 8)
    mse = ca_mae_decoder.authors_loss(run.prediction, target, run.mask, 5, 0.0)["mse"]
    patches = [tokens.unflatten(-1, (8, 8)) for tokens in (run.prediction, target)]
    distance = ca_mae_decoder.magnitude_distance(*patches).mean(dim=(-2, -1))
    fourier = ca_mae_decoder.masked_token_mean(distance, run.mask)
    torch.testing.assert_close(found["loss"], 0.99 * mse + 0.01 * fourier)


def test_requirements_of_a_family_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig(family="ca_mae", drop_path=0.1)
    assert len(str(caught.value).splitlines()) == 4  # decoder, sync_mask, drop_path, rope
    with pytest.raises(ConfigError, match="channel_embedding"):
        ModelConfig(family="channelvit")
    with pytest.raises(ConfigError, match="did you mean `channelvit`"):
        ModelConfig(family="channel_vit")


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "ca_mae"])
def test_relatives_start_from_imagenet_too(family: str) -> None:
    from timm.models.vision_transformer import VisionTransformer

    from campfire.model.imagenet import copy_transformer

    torch.manual_seed(0)
    source = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=0)
    model = build_model(config(family, rope="mixed"), seed=1)
    own = {name: value.clone() for name, value in model.encoder.named_parameters()}
    copy_transformer(source, model)
    changed = {name for name, value in model.encoder.named_parameters() if not torch.equal(value, own[name])}
    assert "blocks.1.attn.qkv.weight" in changed and "patch_embed.proj.weight" in changed
    kept = {"freqs", "channel_embed", "pos_embed"}
    assert not any(name.rpartition(".")[2] in kept or name.startswith("context") for name in changed)
