"""timm models as encoders: channels, pooling, weights, folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from campfire.core.errors import ConfigError, WeightsError
from campfire.encoders import load
from campfire.encoders.base import POOLINGS
from campfire.model.normalise import PlateStatistics, normalise
from support.raw_tiles import RGB, TINY, raw


def test_a_hub_that_cannot_be_reached_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(WeightsError, match=r"huggingface\.co/timm/vit_small_patch8_224\.dino .*`weights`"):
        load({"kind": "timm", "model": "vit_small_patch8_224.dino"}, "cpu")


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """A state dict of a small timm ViT on disk, and the model."""
    import timm

    torch.manual_seed(0)
    model = timm.create_model(TINY, pretrained=False)
    path = tmp_path_factory.mktemp("timm") / "vit.safetensors"
    save_file(model.state_dict(), path)
    return path, model.eval()


def test_a_timm_model_from_a_file_sees_three_channels_as_rgb(timm_file: tuple[Any, ...]) -> None:
    path, model = timm_file
    encoder = load({"kind": "timm", "model": TINY, "weights": str(path)}, "cpu")
    model.reset_classifier(0)
    images = raw(2, size=112)
    values = normalise(images, "tile_range")
    values = torch.nn.functional.interpolate(values, (224, 224), mode="bicubic", antialias=True)
    mean, deviation = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    expected = model((values.clamp(0, 1) - mean) / deviation)
    torch.testing.assert_close(encoder.embed(images, RGB), expected, atol=1e-5, rtol=1e-4)
    assert encoder.dim(RGB) == 192


def test_other_channel_numbers_are_averaged_or_concatenated(timm_file: tuple[Any, ...]) -> None:
    spec = {"kind": "timm", "model": TINY, "weights": str(timm_file[0]), "size": "native"}
    images, names = raw(2, channels=2, size=112), ["DNA", "ER"]
    average, joined = (load({**spec, "combine": combine}, "cpu") for combine in ("average", "concatenate"))
    singles = [average.embed(images[:, i : i + 1], [names[i]]) for i in range(2)]
    torch.testing.assert_close(average.embed(images, names), (singles[0] + singles[1]) / 2, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(joined.embed(images, names), torch.cat(singles, 1), atol=1e-5, rtol=1e-4)
    assert (average.dim(names), joined.dim(names), joined.dim(RGB)) == (192, 384, 192)
    grey = load({**spec, "combine": "concatenate", "rgb": False}, "cpu")
    assert grey.embed(raw(1, size=112), RGB).shape == (1, grey.dim(RGB)) == (1, 576)
    assert len({average.digest, joined.digest, grey.digest}) == 3


def test_pooling_of_a_timm_model(timm_file: tuple[Any, ...]) -> None:
    spec = {"kind": "timm", "model": TINY, "weights": str(timm_file[0])}
    encoders = {how: load({**spec, "pooling": how}, "cpu") for how in POOLINGS}
    images = raw(2, size=112)
    own = load(spec, "cpu")
    found = {how: encoder.embed(images, RGB) for how, encoder in encoders.items()}
    torch.testing.assert_close(found["cls"], own.embed(images, RGB))  # timm's own for this model
    torch.testing.assert_close(found["cls+mean"], torch.cat([found["cls"], found["mean"]], dim=1))
    assert (found["mean"] - found["cls"]).abs().max() > 0.01
    assert [encoders[how].dim(RGB) for how in POOLINGS] == [192, 192, 384]
    assert len({encoder.digest for encoder in encoders.values()}) == 3
    with pytest.raises(ConfigError, match="pooling: 'max' is not one of cls"):
        load({**spec, "pooling": "max"}, "cpu")
    with pytest.raises(ConfigError, match="no class token"):
        load({"kind": "timm", "model": "resnet10t", "weights": "random", "pooling": "cls"}, "cpu")


def test_a_timm_model_can_keep_the_brightness_that_a_tile_has_on_its_plate(timm_file: tuple[Any, ...]) -> None:
    encoder = load({"kind": "timm", "model": TINY, "weights": str(timm_file[0]), "normalisation": "plate_range"}, "cpu")
    images = raw(2, size=112)
    statistics = PlateStatistics(*np.float32([[9] * 3, [9] * 3, [0] * 3, [2000] * 3]))
    dim, bright = (encoder.embed((images.int() // part).to(torch.uint16), RGB, statistics) for part in (3, 1))
    assert (dim - bright).abs().max() > 0.01
    by_tile = load({"kind": "timm", "model": TINY, "weights": str(timm_file[0])}, "cpu")
    dim, bright = (by_tile.embed((images.int() * part).to(torch.uint16), RGB, statistics) for part in (3, 1))
    torch.testing.assert_close(dim, bright, atol=1e-4, rtol=1e-3)


def test_timm_weights_of_another_model_are_refused(timm_file: tuple[Any, ...], tmp_path: Path) -> None:
    tensors = {name: value for name, value in timm_file[1].state_dict().items() if not name.startswith("blocks.11.")}
    save_file(tensors, tmp_path / "short.safetensors")
    with pytest.raises(WeightsError, match=r"short\.safetensors"):
        load({"kind": "timm", "model": TINY, "weights": str(tmp_path / "short.safetensors")}, "cpu")


def test_random_timm_weights_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    spec = {"kind": "timm", "model": TINY, "weights": "random", "size": 32}
    first, second, other = (load({**spec, "seed": seed}, "cpu") for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.digest == second.digest != other.digest


def test_a_head_of_another_width_does_not_matter(
    timm_file: tuple[Any, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import timm

    path, model = timm_file
    torch.manual_seed(1)
    tensors = dict(model.state_dict())
    ten = timm.create_model(TINY, num_classes=10).state_dict()
    body = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    save_file({**body, **{name: ten[name] for name in ten if name.startswith("head.")}}, tmp_path / "ten.safetensors")
    save_file(body, tmp_path / "headless.safetensors")
    spec = {"kind": "timm", "model": TINY, "size": 32}
    files = (path, tmp_path / "ten.safetensors", tmp_path / "headless.safetensors")
    assert len({load({**spec, "weights": str(file)}, "cpu").digest for file in files}) == 1
    assert "names no tag" in caplog.text and "set `mean` and `deviation`" in caplog.text
    caplog.clear()
    given = load({**spec, "weights": str(path), "mean": [0.1, 0.2, 0.3], "deviation": [0.5, 0.5, 0.5]}, "cpu")
    assert "names no tag" not in caplog.text
    assert given.digest != load({**spec, "weights": str(path)}, "cpu").digest


def test_weights_that_do_not_fit_say_what_differs(timm_file: tuple[Any, ...], tmp_path: Path) -> None:
    tensors = {name: value for name, value in timm_file[1].state_dict().items() if name != "norm.weight"}
    save_file(tensors, tmp_path / "cut.safetensors")
    with pytest.raises(
        WeightsError, match=r"cut\.safetensors holds no weights of .*norm\.weight.*correct the encoder's"
    ):
        load({"kind": "timm", "model": TINY, "weights": str(tmp_path / "cut.safetensors")}, "cpu")


def test_a_folder_that_timm_saved_is_an_encoder(
    timm_file: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    path, _ = timm_file
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(path.read_bytes())
    config = {"mean": [0.1, 0.1, 0.1], "std": [0.3, 0.3, 0.3], "num_classes": 1000, "classifier": "head"}
    config |= {"input_size": [3, 224, 224], "first_conv": "patch_embed.proj"}
    (folder / "config.json").write_text(
        json.dumps({"architecture": TINY, "num_classes": 1000, "pretrained_cfg": config})
    )
    local = load({"kind": "timm", "model": f"local-dir:{folder}", "size": 32}, "cpu")
    same = load(
        {"kind": "timm", "model": TINY, "weights": str(path), "size": 32, "mean": [0.1] * 3, "deviation": [0.3] * 3}
    )
    assert local.digest == same.digest
    with pytest.raises(ConfigError, match=r"needs config\.json"):
        load({"kind": "timm", "model": f"local-dir:{tmp_path}"}, "cpu")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="set `model: local-dir:<folder>`"):
        load({"kind": "timm", "model": "hf-hub:nobody/nothing"}, "cpu")


def test_a_model_of_the_hub_is_an_encoder_and_should_name_its_revision(
    timm_file: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import json

    path, _ = timm_file
    commit = "0123456789" * 4
    folder = tmp_path / "models--nobody--mine" / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(path.read_bytes())
    config = {"mean": [0.1, 0.1, 0.1], "std": [0.3, 0.3, 0.3], "num_classes": 1000, "classifier": "head"}
    config |= {"input_size": [3, 224, 224], "first_conv": "patch_embed.proj"}
    text = json.dumps({"architecture": TINY, "num_classes": 1000, "pretrained_cfg": config})
    (folder / "config.json").write_text(text)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = load({"kind": "timm", "model": f"hf-hub:nobody/mine@{commit}", "size": 32}, "cpu")
    same = {"kind": "timm", "model": TINY, "weights": str(path), "size": 32, "mean": [0.1] * 3, "deviation": [0.3] * 3}
    assert found.digest == load(same, "cpu").digest
    assert "names no revision" not in caplog.text
    with pytest.raises(WeightsError, match="no model nobody/mine on the hub"):
        load({"kind": "timm", "model": "hf-hub:nobody/mine", "size": 32}, "cpu")
    assert "hf-hub:nobody/mine names no revision" in caplog.text


def test_the_width_is_asked_of_the_model() -> None:
    spec = {"kind": "timm", "model": "mobilenetv3_small_050", "weights": "random", "size": 64}
    encoder = load(spec, "cpu")
    assert encoder.embed(raw(2, size=64), RGB).shape == (2, encoder.dim(RGB)) == (2, 1024)
