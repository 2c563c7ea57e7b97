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
from campfire.encoders.cell_features import measure_tile, measure_tiles, nucleus_mask
from campfire.model import MaskedAutoencoder, ModelConfig, patchify, save_weights
from campfire.model.normalise import PlateStatistics, normalise
from campfire.model.released_checkpoint import save_checkpoint
from support.raw_tiles import RGB, TINY, raw

SMALL = {"width": 32, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
MODEL = {"image_size": 28, "patch_size": 7, **SMALL}


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
    with pytest.raises(ConfigError, match=r"normalisation: is missing; .* set one of tile, plate"):
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


def test_pooling_of_campfire(run: tuple[Any, ...]) -> None:
    path, model = run
    found = {how: load({"kind": "pretrained", "weights": str(path), "pooling": how}, "cpu") for how in POOLINGS}
    latent = model.encoder(patchify(normalise(raw(), "tile"), model.config.patch_size))
    torch.testing.assert_close(found["cls"].embed(raw(), RGB), latent[:, 0].detach())
    torch.testing.assert_close(found["mean"].embed(raw(), RGB), model.embed(normalise(raw(), "tile")).detach())
    assert found["cls+mean"].embed(raw(), RGB).shape[1] == found["cls+mean"].dim(RGB) == 2 * found["cls"].dim(RGB)


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


def test_features_of_a_tile_do_not_depend_on_those_measured_with_it() -> None:
    tiles = np.stack([cell(radius) for radius in (8, 20, 13)])
    families = ("shape", "intensity")
    together = measure_tiles(tiles, RGB, families)
    alone = [measure_tile(tile, RGB, families) for tile in tiles]
    assert together == alone
    assert list(together[0]) == list(alone[0])
    assert together[0]["Cells_Intensity_MeanIntensityEdge_DNA"] == 0, "a whole tile has no inner edge"
    assert together[0]["Nuclei_Intensity_MeanIntensityEdge_DNA"] > 0
    widths = [found["Nuclei_MaxFeretDiameter_Shape"] for found in together]
    assert widths == pytest.approx([16, 40, 26], abs=3)


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

def unknown(name, device):
    encoder = Mean(name, 1.0)
    encoder.normalisation = "count"
    return encoder
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
        ("own_code:unknown", r"unknown normalisation 'count'; did you mean `counts`\?"),
        ("own_code:short", "own_code:short is called with device, name: .*unexpected keyword argument 'device'"),
    ):
        with pytest.raises(ConfigError, match=words):
            load({"kind": "python", "factory": factory}, "cpu")


def test_auto_is_the_gpu_where_there_is_one() -> None:
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == "cpu"
