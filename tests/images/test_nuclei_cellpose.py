"""Cellpose: weights, devices, batches; with an untrained net here, with a trained one in the slow test."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.core.errors import ConfigError, WeightsError
from campfire.images.nuclei import NucleiOptions, describe, match_objects, segment, segment_plate
from campfire.images.nuclei.cellpose import _load, segment_cellpose, weights_path
from support.nuclei_fields import simulate_field, write_folder

PIXEL_SIZE = 20 / 17


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The weights file of an untrained Cellpose net."""
    import torch
    from cellpose.models import CellposeModel

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = CellposeModel(pretrained_model=None, gpu=False, diam_mean=17.0)
    path = tmp_path_factory.mktemp("weights") / "untrained"
    model.net.save_model(str(path))
    return path


@pytest.fixture
def options(weights: Any) -> Any:
    return NucleiOptions(method="cellpose", weights=str(weights), device="cpu", batch_size=4)


def uphill_net() -> Any:
    """A stand-in for a trained net: flows go up the blurred image, which leads to the centres of round nuclei."""
    import torch

    class Uphill(torch.nn.Module):
        nout, mkldnn = 3, False

        def __init__(self) -> None:
            super().__init__()
            offsets = torch.arange(-8, 9, dtype=torch.float32)
            kernel = torch.exp(-(offsets**2) / (2 * 3.0**2))
            self.register_buffer("kernel", torch.outer(kernel, kernel)[None, None] / kernel.sum() ** 2)

        @property
        def device(self) -> Any:
            return self.kernel.device

        def forward(self, x: Any) -> tuple[Any, ...]:
            blurred = torch.nn.functional.conv2d(x[:, :1], self.kernel, padding=8)
            y, x_ = torch.gradient(blurred, dim=(2, 3))
            length = torch.sqrt(y**2 + x_**2) + 1e-6
            out = torch.cat([5 * y / length, 5 * x_ / length, 10 * (x[:, :1] - 0.4)], dim=1)
            return out, torch.ones(len(x), 256)

    return Uphill()


@pytest.fixture
def seeing(options: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Options whose model finds nuclei: Cellpose's own code around the stand-in net."""
    model = _load(weights_path(options), options.model, options.device)
    monkeypatch.setattr(model, "net", uphill_net())
    # The stand-in's flows are not those that Cellpose derives from masks.
    return NucleiOptions(**{**vars(options), "flow_threshold": 0})


def fields(n: Any, shape: tuple[Any, ...] = (150, 160)) -> list[Any]:
    return [simulate_field(shape, 17, 12, seed)[0] for seed in range(n)]


def test_missing_weights_say_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"nucleitorch_0: .*https://www\.cellpose\.org/models/nucleitorch_0.*nuclei\.w"
    ):
        segment(fields(1)[0], PIXEL_SIZE, method="cellpose")
    with pytest.raises(WeightsError, match=r"lost: no such Cellpose weights; correct nuclei\.weights"):
        weights_path(NucleiOptions(weights=str(tmp_path / "lost")))
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded or made
    (tmp_path / "nucleitorch_0").write_bytes(b"x")
    assert weights_path(NucleiOptions()) == tmp_path / "nucleitorch_0"
    assert weights_path(NucleiOptions(weights=None, model="nuclei")).name == "nucleitorch_0"


def test_foreign_weights_are_said(tmp_path: Path) -> None:
    import torch

    (tmp_path / "text").write_text("not weights")
    torch.save({"W2": torch.zeros(1)}, tmp_path / "v4")
    for name in ("text", "v4"):
        with pytest.raises(WeightsError, match=f"{name}: not the weights of a Cellpose 3 model"):
            segment(fields(1)[0], PIXEL_SIZE, options=NucleiOptions(method="cellpose", weights=str(tmp_path / name)))


def test_no_gpu_is_said(options: Any) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    _load.cache_clear()
    for device, message in (("cuda", "no GPU"), ("abacus", "no device")):
        with pytest.raises((ConfigError, WeightsError), match=message):
            segment_cellpose(fields(1), PIXEL_SIZE, NucleiOptions(weights=options.weights, device=device))


def test_weights_are_recorded(options: Any, weights: Any) -> None:
    record = describe(options, PIXEL_SIZE)
    assert record["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert record["software"].startswith("cellpose 3.1") and record["model"] == "nuclei"
    assert record["cellprob_threshold"] == 0


def test_batch_equals_one_by_one(seeing: Any) -> None:
    images = [*fields(3), *fields(1, (120, 200))]
    together = segment_cellpose(images, PIXEL_SIZE, seeing)
    for seed, (image, labels) in enumerate(zip(images, together, strict=True)):
        assert labels.shape == image.shape and labels.dtype == np.int32
        assert np.array_equal(labels, segment(image, PIXEL_SIZE, options=seeing))
        truth = simulate_field(image.shape, 17, 12, seed % 3)[1]
        assert match_objects(labels, truth).f1 > 0.7


def test_magnification_is_undone(seeing: Any) -> None:
    """Nuclei of 34 px at half the pixel size are found as well as those of 17 px."""
    image, truth = simulate_field((300, 320), 34, 12, 0)
    assert match_objects(segment(image, PIXEL_SIZE / 2, options=seeing), truth).f1 > 0.7


def test_diameter_is_in_micrometres(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _load(weights_path(options), options.model, options.device)
    seen = []
    real = type(model).eval
    monkeypatch.setattr(type(model), "eval", lambda self, *a, **k: seen.append(k["diameter"]) or real(self, *a, **k))
    segment(fields(1)[0], 0.5, diameter_um=12, options=options)
    assert seen == [24]


def test_nuclei_model_without_its_own_diameter(options: Any, tmp_path: Path) -> None:
    """The published nuclei weights do not name the diameter they were trained at; it is 17 px."""
    import torch

    state = torch.load(options.weights, weights_only=True)
    torch.save({name: value for name, value in state.items() if not name.startswith("diam")}, tmp_path / "old")
    assert _load(tmp_path / "old", "nuclei", "cpu").diam_mean == 17
    assert _load(tmp_path / "old", "cyto3", "cpu").diam_mean == 30


def test_plate_with_cellpose(seeing: Any, tmp_path: Path) -> None:
    images = fields(5)
    write_folder(tmp_path / "P1", {("A01", str(n + 1)): {"DNA": image} for n, image in enumerate(images)})
    options = NucleiOptions(**{**vars(seeing), "tile_size": 16, "sites_per_batch": 2})
    nuclei, quality = segment_plate(tmp_path / "P1", PIXEL_SIZE, options)
    expected = [segment(image, PIXEL_SIZE, options=seeing).max() for image in images]
    assert list(quality["nuclei"]) == expected and len(nuclei) == sum(expected)
    assert nuclei["kept"].sum() > 20
