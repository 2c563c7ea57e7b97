"""Compiled in one graph or in two, blocks compute what they compute uncompiled, and share graphs with equal ones."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from campfire.model import MaskedAutoencoder, ModelConfig

SHAPE = {"image_size": 28, "patch_size": 7, "width": 32, "depth": 3, "heads": 4,
         "decoder_width": 16, "decoder_depth": 2, "decoder_heads": 2}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def gradients(model: MaskedAutoencoder, bf16: bool) -> list[Tensor]:
    """Prediction and gradients of a fixed pass."""
    images = torch.randn(3, 2, 28, 28, generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = model(images, torch.arange(2), generator=torch.Generator().manual_seed(1))
    output.prediction.float().square().mean().backward()
    return [output.prediction.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("form", ["rotation", "cosine"])
@pytest.mark.parametrize(("apart", "graphs"), [(False, 2), (True, 4)])
def test_compiled_blocks_compute_the_same(apart: bool, graphs: int, form: str, bf16: bool) -> None:
    """Two sizes of block, each with one graph or two, whatever the depth."""
    model = MaskedAutoencoder(ModelConfig(**SHAPE, rope_form=form), seed=1)  # type: ignore[arg-type]
    expected = gradients(model, bf16)
    seen: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        seen.append(graph)
        return graph

    model.compile_blocks(apart, dynamic=False, backend=backend)
    tolerance = 3e-2 if bf16 else 1e-5
    for found, wanted in zip(gradients(model, bf16), expected, strict=True):
        torch.testing.assert_close(found.float(), wanted.float(), rtol=tolerance, atol=tolerance * 1e-1)
    assert len(seen) == graphs
