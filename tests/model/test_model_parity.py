"""The model against outputs of the authors' released code on fixed weights and inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from campfire.model import MaskedAutoencoder, ModelConfig, Output, patchify

SMALL = {"width": 64, "depth": 2, "heads": 4, "decoder_width": 32, "decoder_depth": 2, "decoder_heads": 4}
CASES = {
    "a_block_sincos": ("a_block_sincos", {"rope": "none"}),
    "b_rope_mixed": ("b_rope_mixed", {"rope": "mixed", "rope_form": "cosine"}),
    "b_rope_mixed_truerot": ("b_rope_mixed", {"rope": "mixed", "rope_form": "rotation"}),
    "c_rope_axial": ("c_rope_axial", {"rope": "axial", "rope_form": "cosine"}),
    "c_rope_axial_truerot": ("c_rope_axial", {"rope": "axial", "rope_form": "rotation"}),
}
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data/official/model"


@pytest.fixture(scope="module")
def images(folder: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(folder / "inputs.npz")["images_uint8"]).float()


@pytest.fixture(scope="module")
def mixed(folder: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(folder / "inputs.npz")["mixed_channel_idx"])


def open_case(folder: Path, case: str) -> tuple[MaskedAutoencoder, dict[str, np.ndarray]]:
    weights, options = CASES[case]
    model = MaskedAutoencoder(ModelConfig(**SMALL, **options))
    model.load_state_dict(load_file(folder / f"{weights}.safetensors"))
    return model, dict(np.load(folder / f"{case}_outputs.npz"))


def pick(images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Each sample's own channels (B, C', H, W)."""
    return images[torch.arange(len(images))[:, None], index]


def close(actual: torch.Tensor, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_evaluation_of_every_channel_set_equals_the_release(
    folder: Path, images: torch.Tensor, mixed: torch.Tensor, case: Any
) -> None:
    model, reference = open_case(folder, case)
    names = [name.removeprefix("eval_emb_c") for name in reference if name.startswith("eval_emb_c")]
    assert {"012", "034", "01234", "1"} <= set(names)
    for name in names:
        index = torch.tensor([int(letter) for letter in name])
        close(model.embed(images[:, index], index), reference[f"eval_emb_c{name}"])
        output = model.reconstruct(images[:, index], index, mask=False)
        # Sums of 112 pixels of size about 1: the tolerance on a pixel is 112 times smaller.
        close(output.prediction.sum(3), reference[f"eval_pred_rowsum_c{name}"], 112 * TOLERANCE)
        close(output.prediction.std((2, 3), correction=0), reference[f"eval_pred_std_c{name}"], 1e-2)
    close(model.reconstruct(images[:, :3], torch.arange(3), mask=False).prediction[:2], reference["eval_pred_c012"])


@pytest.mark.parametrize("case", CASES)
def test_each_sample_may_bring_its_own_channels(
    folder: Path, images: torch.Tensor, mixed: torch.Tensor, case: Any
) -> None:
    model, reference = open_case(folder, case)
    chosen = pick(images, mixed)
    close(model.embed(chosen, mixed), reference["eval_emb_mixed"])
    expected = reference["eval_pred_mixed"]
    close(model.reconstruct(chosen, mixed, mask=False).prediction[: len(expected)], expected)


def check_training(model: MaskedAutoencoder, output: Output, reference: dict[str, np.ndarray], step: int) -> None:
    close(model.encoder.pool(output.latent), reference[f"train{step}_embeddings"])
    np.testing.assert_array_equal(output.mask.numpy(), reference[f"train{step}_mask"])
    close(output.prediction.sum(3), reference[f"train{step}_pred_imgs_rowsum"], 112 * TOLERANCE)
    expected = reference[f"train{step}_pred_imgs"]
    close(output.prediction[: len(expected)], expected)
    close(output.pixel_mask().mean((2, 3)), reference[f"train{step}_mask_imgs_mean"], 1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [0, 1, 2])
def test_training_forward_and_gradients_equal_the_release(
    folder: Path, images: torch.Tensor, mixed: torch.Tensor, case: Any, step: int
) -> None:
    model, reference = open_case(folder, case)
    model.train()
    picks = torch.from_numpy(reference[f"train{step}_sample_indices"])
    chosen = pick(images, mixed) if step == 2 else images[:, :3]
    index = mixed if step == 2 else torch.arange(3).expand(4, -1)
    output = model(chosen[:, picks], index[:, picks], noise=torch.from_numpy(reference[f"train{step}_noise"]))
    check_training(model, output, reference, step)
    error = (output.prediction - output.target / 64).square()
    pixels = output.pixel_mask()
    assert error.mean().item() == pytest.approx(float(reference[f"train{step}_mse_all"]), rel=TOLERANCE)
    masked = (error * pixels).sum() / pixels.sum()
    assert masked.item() == pytest.approx(float(reference[f"train{step}_mse_masked"]), rel=TOLERANCE)
    error.mean().backward()
    names, norms = reference[f"train{step}_gradnorm_names"], reference[f"train{step}_gradnorm"]
    assert set(names) == {name for name, value in model.named_parameters() if value.requires_grad}
    for name, norm in zip(names, norms, strict=True):
        gradient = model.get_parameter(str(name)).grad
        assert gradient is not None, name
        assert gradient.norm().item() == pytest.approx(float(norm), rel=TOLERANCE, abs=1e-6), name
    path = folder / f"{CASES[case][0]}_train1_grads.safetensors"
    if step == 1 and case in ("a_block_sincos", "b_rope_mixed", "c_rope_axial"):
        for name, expected in load_file(path).items():
            close(model.get_parameter(name).grad, expected.numpy())


def test_the_channel_embedding_is_the_mean_over_the_batch_per_index(
    folder: Path, images: torch.Tensor, mixed: torch.Tensor
) -> None:
    model, reference = open_case(folder, "a_block_sincos")
    context = model._context(patchify(pick(images, mixed), 14), mixed)
    close(context, reference["channel_embeddings_mixed"])


def test_masked_pixels_equal_the_release(folder: Path, images: torch.Tensor) -> None:
    model, reference = open_case(folder, "a_block_sincos")
    picks = torch.from_numpy(reference["train0_sample_indices"])
    noise = torch.from_numpy(reference["train0_noise"])
    output = model.reconstruct(images[:, :3][:, picks], picks, noise=noise)
    np.testing.assert_array_equal(output.pixel_mask().numpy(), reference["train0_mask_imgs"])
    np.testing.assert_array_equal(output.target.numpy(), reference["train0_target_imgs"])
    close(output.prediction[:2], reference["train0_pred_imgs"])


@pytest.mark.parametrize("case", CASES)
def test_unsynchronised_masks_that_agree_equal_the_release(folder: Path, images: torch.Tensor, case: Any) -> None:
    model, reference = open_case(folder, case)
    model.config = ModelConfig(**{**model.config.to_dict(), "sync_mask": False})
    picks = torch.from_numpy(reference["train1_sample_indices"])
    noise = torch.from_numpy(reference["train1_noise"])[:, None].expand(-1, len(picks), -1)
    index = picks.expand(4, -1)
    check_training(model.train(), model(images[:, picks], index, noise=noise), reference, 1)
