"""The authors' checkpoint layout, in and out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from campfire.core.errors import WeightsError
from campfire.model import MaskedAutoencoder, ModelConfig, weights_digest
from campfire.model.released_checkpoint import load_checkpoint, save_checkpoint

HEADS = {"heads": 4, "decoder_heads": 4}
SMALL = {"width": 64, "depth": 2, "decoder_width": 32, "decoder_depth": 2, **HEADS}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data/official/model"


def small(seed: int = 1, **options: Any) -> MaskedAutoencoder:
    return MaskedAutoencoder(ModelConfig(**{**SMALL, **options}), seed).eval()


@pytest.mark.parametrize(
    ("name", "choices"),
    [("a_block_sincos", {"rope": "none"}), ("b_rope_mixed", {}), ("c_rope_axial", {"rope": "axial"})],
)
def test_the_authors_models_are_read(folder: Path, name: str, choices: dict[str, Any]) -> None:
    model = load_checkpoint(folder / f"{name}.safetensors", **HEADS, **choices)
    assert model.config.rope_form == "cosine"
    assert (model.config.image_size, model.config.patch_size) == (112, 14)
    images = torch.from_numpy(np.load(folder / "inputs.npz")["images_uint8"]).float()
    expected = np.load(folder / f"{name}_outputs.npz")["eval_emb_c034"]
    found = model.embed(images[:, [0, 3, 4]]).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "rope"), [("large_a_block_sincos", "none"), ("large_b_rope_mixed", "mixed")])
def test_the_large_model_has_the_authors_parameters_key_by_key(folder: Path, name: str, rope: str) -> None:
    lines = [line.split("\t") for line in (folder / f"{name}_params.txt").read_text().splitlines() if line[0] != "#"]
    with torch.device("meta"):
        model = MaskedAutoencoder(ModelConfig(rope=rope))
    shapes = {key: str(tuple(value.shape)) for key, value in model.named_parameters()}
    assert list(shapes) == list(model.state_dict())
    assert shapes == {line[0]: line[1] for line in lines}
    fixed = {key for key, value in model.named_parameters() if not value.requires_grad}
    assert fixed == {line[0] for line in lines if line[3] == "fixed"}


@pytest.mark.parametrize("prefix", ["", "model.", "module.model.", "_orig_mod."])
@pytest.mark.parametrize("suffix", ["ckpt", "pth", "safetensors"])
def test_wrapped_state_dicts_are_unwrapped(tmp_path: Path, prefix: str, suffix: str) -> None:
    model = small()
    tensors = {prefix + name: value for name, value in model.state_dict().items()}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "epoch": 3, "optimizer_states": [{}]} if suffix == "ckpt" else tensors, path)
    loaded = load_checkpoint(path, **HEADS)
    assert loaded.config.rope == "mixed"
    assert weights_digest(loaded) == weights_digest(model)


def test_half_precision_checkpoints_become_float32(tmp_path: Path) -> None:
    save_file({name: value.half() for name, value in small().state_dict().items()}, tmp_path / "half.safetensors")
    loaded = load_checkpoint(tmp_path / "half.safetensors", **HEADS)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


def test_none_and_axial_rope_must_be_given(tmp_path: Path) -> None:
    save_file(small(rope="axial").state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"Set rope= to none .* or axial"):
        load_checkpoint(tmp_path / "weights.safetensors", **HEADS)
    with pytest.raises(WeightsError, match="not mixed"):
        load_checkpoint(tmp_path / "weights.safetensors", rope="mixed", **HEADS)
    axial = load_checkpoint(tmp_path / "weights.safetensors", rope="axial", rope_form="rotation", **HEADS)
    assert (axial.config.rope, axial.config.rope_form) == ("axial", "rotation")
    save_file(small().state_dict(), tmp_path / "mixed.safetensors")
    with pytest.raises(WeightsError, match="mixed, not axial"):
        load_checkpoint(tmp_path / "mixed.safetensors", rope="axial", **HEADS)


def test_heads_must_be_given_for_a_nonstandard_width(tmp_path: Path) -> None:
    save_file(small().state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"width of 64 .* set heads="):
        load_checkpoint(tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="decoder_heads="):
        load_checkpoint(tmp_path / "weights.safetensors", heads=4)
    with pytest.raises(WeightsError, match=r"model\.width"):
        load_checkpoint(tmp_path / "weights.safetensors", heads=5, decoder_heads=4)


def test_unknown_missing_and_misshapen_tensors_are_listed(tmp_path: Path) -> None:
    tensors = dict(small().state_dict())
    del tensors["decoder.norm.bias"]
    tensors["head.weight"] = torch.zeros(2)
    tensors["decoder.pred.bias"] = torch.zeros(7)
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(tmp_path / "odd.safetensors", **HEADS)
    for words in ("1 missing: decoder.norm.bias", "1 unknown: head.weight", "decoder.pred.bias is (7,), not (196,)"):
        assert words in str(caught.value)


def test_files_that_are_no_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"github\.com/GSK-AI/campfire"):
        load_checkpoint(tmp_path / "absent.ckpt")
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(WeightsError, match=r"text\.ckpt: not a readable"):
        load_checkpoint(tmp_path / "text.ckpt")
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(WeightsError, match="no Campfire checkpoint"):
        load_checkpoint(tmp_path / "other.ckpt")


class Payload:
    """Would run code if it were unpickled."""

    def __reduce__(self) -> tuple:
        return (print, ("executed",))


def test_pickled_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": Payload()}, tmp_path / "evil.ckpt")
    with pytest.raises(WeightsError, match="weights_only"):
        load_checkpoint(tmp_path / "evil.ckpt")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_saving_and_loading_gives_the_same_model(tmp_path: Path, suffix: str) -> None:
    model = small(rope="axial", rope_form="rotation", mask_ratio=0.5)
    save_checkpoint(model, tmp_path / f"ours.{suffix}")
    loaded = load_checkpoint(tmp_path / f"ours.{suffix}")
    assert loaded.config == model.config
    assert weights_digest(loaded) == weights_digest(model)
    assert load_checkpoint(tmp_path / f"ours.{suffix}", rope_form="cosine").config.rope_form == "cosine"


def test_the_authors_file_is_written_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    source = folder / "c_rope_axial.safetensors"
    save_checkpoint(load_checkpoint(source, rope="axial", **HEADS), tmp_path / "back.safetensors")
    before, after = load_file(source), load_file(tmp_path / "back.safetensors")
    assert set(before) == set(after)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("options", [{"decoder": "per_channel"}, {"channel_embedding": "learned"}])
def test_models_that_the_release_cannot_hold_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="the release has no"):
        save_checkpoint(small(**options), tmp_path / "ours.ckpt")
