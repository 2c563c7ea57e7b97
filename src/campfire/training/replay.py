"""Forward and backward pass of a full step as one recording that a GPU replays.

Launching a step's kernels one by one keeps the host busier than the GPU. A CUDA graph is recorded once for each shape
of a batch (each number of channels) and then launched whole: the same kernels in the same order, so the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from campfire.training.options import PretrainOptions

Inputs = Mapping[str, Tensor | None]
Body = Callable[[], Tensor]


class Recording(NamedTuple):
    """A recorded pass: its own memory for what goes in and what comes out."""

    replay: Callable[[], None]
    inputs: dict[str, Tensor]
    result: Tensor
    gradients: list[tuple[nn.Parameter, Tensor]]


class CudaRecorder:
    """Records work on a GPU. All recordings share memory for what they need only while they run."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def warm(self, body: Body) -> Tensor:
        """The body's result, computed on the stream that will record it, so that compilers and libraries are ready."""
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            result = body()
        here.wait_stream(self.stream)
        return result

    def record(self, body: Body) -> tuple[Callable[[], None], Tensor]:
        """What replays the body, and where its result will be. Nothing is computed yet."""
        graph = torch.cuda.CUDAGraph()
        # Other threads (the loader pins memory) may use the driver meanwhile.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            result = body()
        return graph.replay, result


class Replays:
    """Passes that are recorded when their shapes come for the second time."""

    def __init__(
        self, run: Callable[..., Tensor], parameters: Iterable[nn.Parameter], recorder: CudaRecorder | Any
    ) -> None:
        """run: maps the inputs, by name, to a vector whose first element is the loss."""
        self.run, self.parameters, self.recorder = run, list(parameters), recorder
        self.known: dict[tuple[Any, ...], Recording | None] = {}
        """By the inputs' shapes; None where a shape was met once."""

    def __call__(self, inputs: Inputs) -> Tensor:
        """The vector for these inputs, detached; the parameters' gradients are those of its first element.

        Both are valid until the next call. Gradients must be None before (`zero_grad(set_to_none=True)`).
        """
        key = tuple((name, tuple(value.shape), value.dtype) for name, value in inputs.items() if value is not None)
        recording = self.known.get(key)
        if recording is None:
            if key not in self.known:
                self.known[key] = None
                return self.recorder.warm(self._body(inputs))
            recording = self.known[key] = self._record(inputs)
        for name, value in recording.inputs.items():
            value.copy_(inputs[name], non_blocking=True)  # type: ignore[arg-type]
        for parameter, gradient in recording.gradients:
            parameter.grad = gradient
        recording.replay()
        return recording.result

    def _body(self, inputs: Inputs) -> Body:
        def body() -> Tensor:
            values = self.run(**inputs)
            values[0].backward()
            return values.detach()

        return body

    def _record(self, inputs: Inputs) -> Recording:
        own = {name: value.clone() for name, value in inputs.items() if value is not None}
        replay, result = self.recorder.record(self._body({**inputs, **own}))
        gradients = [(p, p.grad) for p in self.parameters if p.grad is not None]
        return Recording(replay, own, result, gradients)


def recorded_passes(task: nn.Module, options: PretrainOptions, device: torch.device) -> Replays | None:
    """Recordings of a process's full steps, where the run wants them and its step can be recorded."""
    wanted = options.cuda_graphs in (True, "auto") and device.type == "cuda"
    # Decoders of single channels are chosen on the host, as are the groups of a relative that shares a context.
    fixed = options.model.decoder == "shared" and options.model.family == "campfire"
    return Replays(task, task.parameters(), CudaRecorder(device)) if wanted and fixed else None
