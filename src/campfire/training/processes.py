"""One or many processes: joining a group, and stopping on a signal."""

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from campfire.core.errors import ConfigError, InterruptedRunError
from campfire.training.repeatable import repeatable

log = logging.getLogger(__name__)

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Signals after which a run writes a checkpoint and ends: Ctrl-C, an end that was asked for, Slurm's warning."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int
    world: int
    device: torch.device
    local: int = 0
    """Its number among the processes of its node, whose ranks follow each other."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    def gather(self, values: Tensor) -> Tensor:
        """Stack a vector of every process, in order of rank: (world, K) on the CPU. Waits for the device."""
        if self.world == 1:
            return values.detach().cpu()[None]
        out = values.new_empty((self.world, *values.shape))
        torch.distributed.all_gather(list(out.unbind(0)), values.detach())
        return out.cpu()

    def share(self, value: Any) -> Any:
        """What the first process gives, on every process (anything that can be pickled)."""
        box = [value]
        if self.world > 1:
            torch.distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather_objects(self, value: Any) -> list[Any]:
        """What every process gives (anything that can be pickled), in order of rank, on every process."""
        found = [value] * self.world
        if self.world > 1:
            torch.distributed.all_gather_object(found, value)
        return found

    def share_tensors(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The first process's tensors by name, on every process; received ones are on its device."""
        if self.world == 1:
            return dict(tensors or {})
        layout = self.share([(name, t.shape, t.dtype) for name, t in (tensors or {}).items()])
        found = {}
        for name, shape, dtype in layout:
            own = tensors[name].to(self.device) if self.first and tensors else None
            value = torch.empty(shape, dtype=dtype, device=self.device) if own is None else own.contiguous()
            torch.distributed.broadcast(value, src=0)
            found[name] = value
        return found

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto` is this process's GPU where there is one, else the CPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("pretrain: `device: cuda`, but torch finds no GPU here; use `auto` or `cpu`")
    if name == "cpu" or not torch.cuda.is_available():
        if name == "auto" and os.environ.get("CUDA_VISIBLE_DEVICES") and local_rank == 0:
            # GPUs were allocated: without a warning, a run could spend days on the CPU.
            built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
            log.warning("training on the CPU: torch %s (%s) finds no GPU here", torch.__version__, built)
        return torch.device("cpu")
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


@contextmanager
def join(device: str = "auto", deterministic: bool = True) -> Iterator[Processes]:
    """Join the group that torchrun (or `start`) describes in the environment; alone where it describes none.

    `deterministic`: the same bytes in every run on a GPU, see `repeatable`.
    """
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device, local)
    with repeatable(chosen, deterministic):
        if world == 1:
            yield Processes(0, 1, chosen)
            return
        backend = "nccl" if chosen.type == "cuda" else "gloo"
        gpu = chosen if chosen.type == "cuda" else None
        torch.distributed.init_process_group(backend, timeout=timedelta(minutes=30), device_id=gpu)
        try:
            yield Processes(rank, world, chosen, local)
        except InterruptedRunError:
            torch.distributed.destroy_process_group()
            raise
        # After any other error we just end: leaving an NCCL group waits for all its members, and the others may be
        # in a collective call that this process will never join. Whoever started us ends them.
        torch.distributed.destroy_process_group()


class StopSignal:
    """Notes SIGINT (Ctrl-C), SIGTERM and SIGUSR1 (Slurm's warning) in its block; the trainer asks at every log step."""

    def __init__(self) -> None:
        self.name = ""
        self._before: dict[int, object] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
