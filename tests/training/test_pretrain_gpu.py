"""What can be said of a training step on a GPU without one: devices, types and sizes, by tensors without data."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from campfire.training.flops import peak_rate
from support.pretrain_plates import SMALL_MODEL, options

sys.path.append(str(Path(__file__).parents[2] / "bench"))
from memory import GPU, estimate, fake_gpu, fake_step


@pytest.fixture(scope="module", autouse=True)
def without_a_gpu() -> None:
    """Older versions of torch (2.6 was seen to) ask for a driver even for tensors without data."""
    try:
        with fake_gpu():
            _ = torch.rand(2, device=GPU)[:1] < 0.5
    except RuntimeError as error:
        pytest.skip(f"torch {torch.__version__} needs a GPU for this: {str(error).splitlines()[0]}")


LARGE_COPIES = 10_000
"""Bytes that may be on their way to the GPU beside the tiles: plates' means and deviations."""


class Watch(TorchDispatchMode):
    """Notes copies between devices and the types of matrix products, attention and spectra."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[tuple[str, int]] = []
        self.types: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [a for a in args if isinstance(a, torch.Tensor)]
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_") and isinstance(result, torch.Tensor):
            source = given[-1]
            if source.device.type != result.device.type:
                self.copies.append((f"{source.device.type} to {result.device.type}", source.nbytes))
        if name in ("mm", "addmm", "bmm", "_scaled_dot_product_flash_attention", "_fft_r2c", "native_layer_norm"):
            self.types.setdefault(name, set()).update(a.dtype for a in given)
        return result


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": SMALL_MODEL | {"sync_mask": False, "rope": "axial", "drop_path": 0.1, "channel_embedding": "sample"}},
        {"model": SMALL_MODEL | {"rope": "none", "channel_embedding": "learned"}, "objective": {"pixels": "all"}},
        {"augmentation": {"rotation": "any"}, "objective": {"frequency": 0.2, "l1": "amplitude"}, "clip": 0.0},
    ],
)
def test_a_step_on_a_gpu_stays_there_and_multiplies_in_bf16(changes: dict[str, Any]) -> None:
    run = options(**{"device": "cuda", "precision": "bf16", "compile": False, **changes})
    with fake_gpu(), Watch() as seen:
        engine = fake_step(run, 16)
        assert {p.device for p in engine.model.parameters()} == {GPU}
        state = engine.optimiser.state_dict()["state"]
        assert {t.device for entry in state.values() for t in entry.values()} == {GPU}
    tiles = 16 * 3 * engine.config.image_size**2 * 2
    assert max(nbytes for _, nbytes in seen.copies) == tiles
    assert {way for way, _ in seen.copies} == {"cpu to cuda"}
    assert sum(nbytes for _, nbytes in seen.copies) < tiles + LARGE_COPIES
    assert torch.bfloat16 in seen.types["addmm"]  # the channel embedding alone is projected in float32
    assert seen.types["_scaled_dot_product_flash_attention"] == {torch.bfloat16}
    assert seen.types["native_layer_norm"] == seen.types["_fft_r2c"] == {torch.float32}


def test_the_fake_gpu_notices_a_tensor_left_behind() -> None:
    with fake_gpu(), pytest.raises(RuntimeError, match=r"two different devices|on the same device"):
        _ = torch.ones(3, device=GPU) + torch.ones(3)


def test_the_papers_step_fits_a_gpu_of_80_gb() -> None:
    run = options(model={"size": "large"}, device="cuda", precision="bf16", compile=False)
    found = estimate(run, 400)
    assert found["parameters"] == pytest.approx(329e6, rel=0.01)
    assert 25 < found["activations"] < 32 and found["activations"] + found["state"] < 0.5 * 80e9 / 2**30


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("NVIDIA H200", 989e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA L40", 181e12), ("NVIDIA L40S", 362e12), ("NVIDIA A10G", 0.0),
    ],
)  # fmt: skip
def test_peak_rates_go_by_whole_names(name: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert peak_rate(GPU, bf16=True) == rate and peak_rate(GPU, bf16=False) == 0.0
