"""An optimiser step never waits for the device; a run that starts from ImageNet weights has a twin that does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from campfire.core.errors import WeightsError
from campfire.core.random import keyed_generator
from campfire.encoders import load
from campfire.model import ModelConfig, weights_digest
from campfire.training import PretrainOptions
from campfire.training.engine import Engine, initial_model
from campfire.training.epoch_plan import plan_epoch
from campfire.training.loader import Batch, Loader
from campfire.training.processes import Processes
from campfire.training.source import Source, open_sources
from support.pretrain_plates import PLATES, SMALL_MODEL, options, split_table, three_plates, write_plate

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "is_nonzero")
"""Operations whose result the host must have before it can go on: on a GPU each waits for all that was asked before."""


class NoWaiting(TorchDispatchMode):
    """Fails on an operation that would wait for a GPU. It sees what autograd and the optimiser call, too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in WAITS, f"{name} waits for the device"
        if name.startswith(("index", "index_put")):
            indices = [i for i in args[1] or [] if i is not None] if isinstance(args[1], list | tuple) else []
            assert all(i.dtype != torch.bool for i in indices), "indexing by a mask waits for the device"
        return func(*args, **(kwargs or {}))


@contextmanager
def no_copies_to_the_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail on methods that bring a tensor to the host; on a CPU they do nothing that a dispatcher could see."""

    def forbid(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: pytest.fail(f"Tensor.{name} waits for the device")

    with monkeypatch.context() as patch:
        for name in ("cpu", "numpy", "tolist", "item", "__bool__", "__int__", "__float__", "__index__"):
            patch.setattr(torch.Tensor, name, forbid(name))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    paths = three_plates(tmp_path_factory.mktemp("tiles"))
    return open_sources(paths, split_table(PLATES), ["DNA", "AGP", "Mito"])[0]


def steps(source: Source, run: PretrainOptions) -> Iterator[list[Batch]]:
    """The first two steps of an epoch, each as its parts."""
    plan = plan_epoch([g.tiles for g in source.groups], run.global_batch, 1, keyed_generator(0, 0))
    batches = list(Loader(source, run.batch_size, seed=1).epoch(plan, 0))
    yield from ([b for b in batches if b.step == step] for step in range(2))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": SMALL_MODEL | {"sync_mask": False, "rope": "axial", "channel_embedding": "batch"}},
        {"augmentation": {"normalisation": "plate", "rotation": "any"}, "objective": {"frequency": 0.2, "low": 0.1}},
    ],
)
def test_a_step_never_waits_for_the_device(
    changes: dict[str, Any], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a CPU the range of a channel index is looked at, for free; on a GPU it is not.
    monkeypatch.setattr("campfire.model.autoencoder.check_index", lambda *_: None)
    run = options(**changes)
    engine = Engine(run, Processes(0, 1, torch.device("cpu")), [source])
    before = weights_digest(engine.model)
    first, second = steps(source, run)
    engine.step(0, iter(first), source, 1e-3)  # makes the filters and the plates' table, once
    with NoWaiting(), no_copies_to_the_host(monkeypatch):
        engine.step(1, iter(second), source, 1e-3)
    assert weights_digest(engine.model) != before and len(second) == 3


def test_the_proof_notices_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = torch.ones(3)
    for waits in (lambda: torch.ops.aten.item(ones[0]), lambda: ones.nonzero(), lambda: ones[ones > 0]):
        with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
            waits()
    with pytest.raises(pytest.fail.Exception, match=r"Tensor\.cpu"), no_copies_to_the_host(monkeypatch):
        ones.cpu()


@pytest.mark.slow
def test_blocks_of_full_steps_compile_once_for_each_number_of_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled steps give what uncompiled ones give; the last one of an epoch, which is not full, runs uncompiled."""
    graphs: list[torch.fx.GraphModule] = []

    def count(graph: torch.fx.GraphModule, example_inputs: list[torch.Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compile_(self, backend=count, **how))
    plate = write_plate(tmp_path, "three", 200, ["DNA", "AGP", "Mito"], 2)
    source = open_sources([plate], split_table(["three"]), ["DNA", "AGP", "Mito"])[0]
    weights, subsets, model = [], set(), SMALL_MODEL | {"depth": 1, "decoder_depth": 1}
    for compiled in (True, False):
        run = options(compile=compiled, global_batch=16, batch_size=8, model=model)
        engine = Engine(run, Processes(0, 1, torch.device("cpu")))
        plan = plan_epoch([g.tiles for g in source.groups], run.global_batch, 1, keyed_generator(0, 0))
        batches = list(Loader(source, run.batch_size, seed=1).epoch(plan, 0, 0, engine.choose))
        subsets |= {len(b.channels) for b in batches if b.total == run.global_batch}
        assert len({b.total for b in batches}) > 1
        for step in range(plan.steps):
            engine.step(step, iter([b for b in batches if b.step == step]), source, 1e-3)
        weights.append(torch.cat([p.detach().flatten() for p in engine.model.parameters()]))
    assert subsets == {1, 2, 3} and len(graphs) == 6  # a block of the encoder and one of the decoder
    # On a CPU, rotations are complex products when eager and real ones when compiled: equal but for rounding.
    torch.testing.assert_close(weights[0], weights[1], atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a timm ViT-Ti/16 in a file, as downloaded for `imagenet:`."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("imagenet") / "vit_tiny.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict(), path)
    return path


def test_a_run_and_its_twin_start_from_the_same_imagenet_weights(imagenet: Path) -> None:
    from safetensors.torch import load_file

    model = {"size": "tiny", "patch_size": 14, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    run = PretrainOptions(model=model, imagenet=str(imagenet), seed=3)
    start = Engine(run, Processes(0, 1, torch.device("cpu"))).model
    given = load_file(imagenet)
    assert torch.equal(start.encoder.get_parameter("blocks.7.attn.qkv.weight"), given["blocks.7.attn.qkv.weight"])
    spec = {"kind": "untrained", "run": "x", "model": model, "seed": 3, "normalisation": "tile"}
    twin, random = load({**spec, "imagenet": str(imagenet)}, "cpu"), load({**spec, "imagenet": ""}, "cpu")
    assert weights_digest(twin.model) == weights_digest(start) != weights_digest(random.model)  # type: ignore[attr-defined]
    grey = torch.rand(2, 1, 112, 112, generator=torch.Generator().manual_seed(0))
    assert start.embed(grey).isfinite().all()


def test_imagenet_weights_that_cannot_be_had_are_named(imagenet: Path, tmp_path: Path) -> None:
    def begin(size: str, weights: str) -> None:
        model: dict[str, Any] = {"size": size, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
        run = PretrainOptions(model=model, imagenet=weights)
        initial_model(ModelConfig(**model), run)

    with pytest.raises(WeightsError, match=r"absent\.safetensors: no such ImageNet weights; download .*vit_tiny"):
        begin("tiny", str(tmp_path / "absent.safetensors"))
    with pytest.raises(WeightsError, match="no ImageNet weights vit_small"):
        begin("small", str(imagenet))


def test_channels_are_averaged_over_the_step_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass of 48 tiles and three of 16 make the same channel embeddings, as do several processes: sums add."""
    plates = three_plates(tmp_path)
    source, _, _ = open_sources(plates, split_table(PLATES), ["DNA", "AGP", "Mito"])
    still = {"flip": False, "rotation": "none", "channel_subset": "all", "normalisation": "tile_range"}
    seen = []

    def sums_of(batch_size: int) -> torch.Tensor:
        engine = Engine(options(augmentation=still), Processes(0, 1, torch.device("cpu")), [source])
        real = engine.model.forward
        monkeypatch.setattr(engine.model, "forward", lambda *a, **k: seen.append(k["sums"]) or real(*a, **k))
        plan = plan_epoch([g.tiles for g in source.groups], 48, 1, keyed_generator(4, 0))
        batches = Loader(source, batch_size, seed=4).epoch(plan, 0)
        first = next(batches)
        engine.step(0, [first, *(next(batches) for _ in range(first.parts - 1))], source, 1e-3)
        batches.close()
        return seen[-1]

    whole, cut = sums_of(48), sums_of(16)
    assert len(seen) == 4 and all(torch.equal(part, cut) for part in seen[1:])
    torch.testing.assert_close(whole, cut)
    assert whole[:, -1].max() == 48
