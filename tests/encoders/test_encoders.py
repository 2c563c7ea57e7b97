"""Encoders built from configuration: Campfire in three forms, timm models, classical features."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from campfire.core.errors import ConfigError, DataError, WeightsError
from campfire.encoders import Encoder, load, resolve_device
from campfire.encoders.base import POOLINGS
from campfire.encoders.cell_features import measure_tile, nucleus_mask
from campfire.model import MaskedAutoencoder, ModelConfig, patchify, save_weights
from campfire.model.normalise import PlateStatistics, normalise
from campfire.model.released_checkpoint import save_checkpoint

SMALL = {"width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
MODEL = {"image_size": 28, "patch_size": 7, **SMALL}
RGB = ["DNA", "AGP", "Mito"]
TINY = "vit_tiny_patch16_224"


def raw(batch: int = 3, channels: int = 3, size: int = 28, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return (noise * 3000 + 200).to(torch.uint16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """A weight file as a pretraining run leaves it, and its model (one step away from the initial values)."""
    model = MaskedAutoencoder(ModelConfig(**MODEL), seed=7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    save_weights(model, path, {"normalisation": "tile", "seed": 7, "run": "campfire"})
    return path, model.eval()


def test_a_pretrained_run_embeds_raw_tiles_as_it_was_trained(run: tuple[Any, ...]) -> None:
    path, model = run
    encoder = load({"kind": "pretrained", "name": "campfire", "run": "campfire", "weights": str(path)}, "cpu")
    assert isinstance(encoder, Encoder)
    assert encoder.name == "campfire"
    found = encoder.embed(raw(), RGB)
    assert found.dtype == torch.float32
    assert found.shape == (3, encoder.dim(RGB)) == (3, 32)
    torch.testing.assert_close(found, model.embed(normalise(raw(), "tile")))
    # Channels never seen in training, and any number of them.
    assert encoder.embed(raw(channels=5), ["DNA", "ER", "RNA", "AGP", "Mito"]).shape == (3, 32)


def test_the_untrained_twin_has_the_initial_weights_of_the_run(run: tuple[Any, ...]) -> None:
    path, trained = run
    initial = MaskedAutoencoder(ModelConfig(**MODEL), seed=7).eval()
    expected = initial.embed(normalise(raw(), "tile"))
    by_file = load({"kind": "untrained", "weights": str(path)}, "cpu")
    by_config = load({"kind": "untrained", "run": "x", "model": MODEL, "seed": 7, "normalisation": "tile"}, "cpu")
    assert by_file.digest == by_config.digest
    torch.testing.assert_close(by_file.embed(raw(), RGB), expected)
    torch.testing.assert_close(by_config.embed(raw(), RGB), expected)
    assert (expected - trained.embed(normalise(raw(), "tile"))).abs().max() > 1e-3


def test_the_authors_checkpoint_is_an_encoder(run: tuple[Any, ...], tmp_path: Path) -> None:
    _, model = run
    save_file(model.state_dict(), tmp_path / "release.safetensors")
    spec = {"kind": "release", "weights": str(tmp_path / "release.safetensors"), "heads": 2, "decoder_heads": 2}
    with pytest.raises(ConfigError, match="set `normalisation` to one of tile, plate"):
        load(spec, "cpu")
    spec["normalisation"] = "tile"
    cosine, rotation = load(spec, "cpu"), load({**spec, "rope_form": "rotation"}, "cpu")
    torch.testing.assert_close(rotation.embed(raw(), RGB), model.embed(normalise(raw(), "tile")))
    assert (cosine.embed(raw(), RGB) - rotation.embed(raw(), RGB)).abs().max() > 1e-4
    save_checkpoint(model, tmp_path / "ours.ckpt")
    ours = load({"kind": "release", "weights": str(tmp_path / "ours.ckpt"), "normalisation": "tile"}, "cpu")
    torch.testing.assert_close(ours.embed(raw(), RGB), rotation.embed(raw(), RGB))


def test_normalisation_of_the_plate_needs_its_statistics(run: tuple[Any, ...], tmp_path: Path) -> None:
    _, model = run
    save_weights(model, tmp_path / "plate.safetensors", {"normalisation": "plate"})
    encoder = load({"kind": "pretrained", "weights": str(tmp_path / "plate.safetensors")}, "cpu")
    assert encoder.normalisation == "plate"
    statistics = PlateStatistics(*np.float32([[500, 600, 700], [10, 20, 30], [400, 500, 600], [900, 950, 990]]))
    torch.testing.assert_close(
        encoder.embed(raw(), RGB, statistics), model.embed(normalise(raw(), "plate", statistics))
    )
    with pytest.raises(ConfigError, match="plate's statistics"):
        encoder.embed(raw(), RGB)


def test_digests_tell_apart_what_embeds_differently(run: tuple[Any, ...]) -> None:
    path, _ = run
    kinds = {"kind": "release", "weights": str(path), "normalisation": "tile"}
    specs = [kinds, {**kinds, "normalisation": "plate"}, {**kinds, "rope_form": "cosine"}, {**kinds, "name": "other"}]
    digests = [load(spec, "cpu").digest for spec in specs]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


def test_tiles_of_another_size_are_refused(run: tuple[Any, ...]) -> None:
    with pytest.raises(DataError, match="28 px"):
        load({"kind": "pretrained", "weights": str(run[0])}, "cpu").embed(raw(size=32), RGB)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ({"kind": "resnet"}, ConfigError, "is not one of "),
        ({"kind": "pretrained"}, WeightsError, "give the weights"),
        ({"kind": "pretrained", "weights": "absent.safetensors"}, WeightsError, r"absent\.safetensors"),
        ({"kind": "untrained"}, ConfigError, "needs the trained"),
        ({"kind": "untrained", "model": {"colour": 1}, "seed": 1}, ConfigError, "colour"),
        (
            {"kind": "timm", "model": TINY, "wieghts": "hub"},
            ConfigError,
            "wieghts: no such option; did you mean `weights`",
        ),
        ({"kind": "timm"}, ConfigError, "timm model's name"),
        ({"kind": "timm", "model": "no_such_model"}, ConfigError, "no_such_model"),
        ({"kind": "timm", "model": TINY, "weights": "absent.pth"}, WeightsError, f"huggingface.co/timm/{TINY}"),
        ({"kind": "features", "families": ["colour"]}, ConfigError, "colour"),
    ],
)
def test_specs_that_cannot_be_met_say_why(spec: dict[str, Any], error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        load(spec, "cpu")


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


def test_pooling_of_campfire(run: tuple[Any, ...]) -> None:
    path, model = run
    found = {how: load({"kind": "pretrained", "weights": str(path), "pooling": how}, "cpu") for how in POOLINGS}
    latent = model.encoder(patchify(normalise(raw(), "tile"), model.config.patch_size))
    torch.testing.assert_close(found["cls"].embed(raw(), RGB), latent[:, 0].detach())
    torch.testing.assert_close(found["mean"].embed(raw(), RGB), model.embed(normalise(raw(), "tile")).detach())
    assert found["cls+mean"].embed(raw(), RGB).shape[1] == found["cls+mean"].dim(RGB) == 2 * found["cls"].dim(RGB)


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


def test_stretching_forgets_gain_and_clips_outliers() -> None:
    images = raw(2, size=112).float()
    images[0, 0, 0, 0] = 60000
    values = normalise(images, "tile_range")
    assert values.min() >= 0
    assert values.max() <= 1
    torch.testing.assert_close(normalise(images * 5 + 100, "tile_range"), values, atol=1e-4, rtol=1e-4)
    assert normalise(torch.full((1, 1, 8, 8), 7.0), "tile_range").abs().max() == 0


def cell(radius: int = 14, nucleus: float = 9000) -> np.ndarray:
    """A tile of three channels: a nucleus in the middle, another at the border, textured cytoplasm."""
    rows, columns = np.mgrid[:112, :112]
    random = np.random.default_rng(0)
    tile = random.poisson(300, (3, 112, 112)).astype(np.float64)
    inside = (rows - 56) ** 2 + (columns - 56) ** 2 < radius**2
    tile[0] += nucleus * (inside | ((rows - 5) ** 2 + (columns - 5) ** 2 < 15**2))
    tile[1] += 2000 * np.exp(-((rows - 56) ** 2 + (columns - 56) ** 2) / 800)
    tile[2] = tile[1] * 0.5 + random.poisson(100, (112, 112))
    return tile.astype(np.uint16)


def test_the_nucleus_is_the_central_one() -> None:
    mask = nucleus_mask(cell()[0].astype(float))
    assert mask.sum() == pytest.approx(np.pi * 14**2, rel=0.1)
    assert mask[5, 5] == 0
    assert nucleus_mask(np.zeros((112, 112))).sum() == pytest.approx(np.pi * 14**2, rel=0.05)


def test_features_measure_what_they_are_named_after() -> None:
    small, large = measure_tile(cell(10), RGB), measure_tile(cell(20), RGB)
    assert large["Nuclei_Area_Shape"] / small["Nuclei_Area_Shape"] == pytest.approx(4, rel=0.15)
    bright = measure_tile(cell(14, 18000), RGB)["Nuclei_Intensity_MeanIntensity_DNA"]
    assert bright / measure_tile(cell(14, 9000), RGB)["Nuclei_Intensity_MeanIntensity_DNA"] == pytest.approx(2, rel=0.1)
    assert small["Cells_Correlation_Pearson_AGP_Mito"] > 0.9
    assert small["Cells_Correlation_Pearson_DNA_AGP"] < 0.8


def test_features_are_an_encoder() -> None:
    encoder = load({"kind": "features"}, "cpu")
    assert encoder.normalisation == "counts"
    tiles = torch.from_numpy(np.stack([cell(10), cell(20), np.zeros_like(cell()), np.full_like(cell(), 900)]))
    found = encoder.embed(tiles, RGB)
    assert found.shape == (4, encoder.dim(RGB))
    assert found.isfinite().all()
    names = encoder.names(RGB)
    assert len(set(names)) == len(names) > 300
    expected = measure_tile(cell(20), RGB)
    np.testing.assert_allclose(found[1].numpy(), [expected[name] for name in names], rtol=1e-6)
    assert not any("Nuclei" in name for name in encoder.names(["AGP"]))
    few = load({"kind": "features", "families": ["intensity", "correlation"]}, "cpu")
    assert few.dim(RGB) < encoder.dim(RGB)
    with pytest.raises(ConfigError, match="no features"):
        load({"kind": "features", "families": ["shape"]}, "cpu").dim(["AGP"])


@pytest.mark.slow
def test_features_from_several_processes_are_the_same() -> None:
    tiles = torch.from_numpy(np.stack([cell(10), cell(20)]))
    one, two = (load({"kind": "features", "families": ["intensity"], "workers": n}, "cpu") for n in (1, 2))
    assert torch.equal(one.embed(tiles, RGB), two.embed(tiles, RGB))


OWN = """
import torch

class Mean:
    device, normalisation, digest = "cpu", "tile", "mean of channels 1"

    def __init__(self, name, factor):
        self.name, self.factor = name, factor

    def dim(self, channels):
        return len(channels)

    def embed(self, images, channels, statistics=None):
        return self.factor * images.float().mean((2, 3))

def make(name, device, factor=1.0):
    return Mean(name, factor)

def broken(name, device):
    return object()


def short(name):
    return object()
"""


def test_your_own_encoder_is_loaded_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_code.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    spec = {"kind": "python", "name": "mean", "factory": "own_code:make", "arguments": {"factor": 2.0}}
    encoder = load(spec, "cpu")
    torch.testing.assert_close(encoder.embed(raw(), RGB), 2 * raw().float().mean((2, 3)))
    assert (encoder.name, encoder.dim(RGB)) == ("mean", 3)
    for factory, words in (
        ("own_code", "module:function"),
        ("own_code:none", "cannot load own_code:none"),
        ("nowhere:make", "cannot load nowhere:make"),
        ("own_code:broken", "lacks name, device"),
        ("own_code:short", "own_code:short is called with device, name: .*unexpected keyword argument 'device'"),
    ):
        with pytest.raises(ConfigError, match=words):
            load({"kind": "python", "factory": factory}, "cpu")


def test_auto_is_the_gpu_where_there_is_one() -> None:
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == "cpu"


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


def test_the_width_is_asked_of_the_model() -> None:
    spec = {"kind": "timm", "model": "mobilenetv3_small_050", "weights": "random", "size": 64}
    encoder = load(spec, "cpu")
    assert encoder.embed(raw(2, size=64), RGB).shape == (2, encoder.dim(RGB)) == (2, 1024)
