"""Self-supervised pretraining: one CPU to many GPU nodes, resumable at any step.

`train` runs in this process (or in each process that torchrun started); `launch` starts the processes of a machine.
The loop in outline (`trainer.Run`, `engine.Engine`; every draw comes from a seed and the position in the run):

    train_tiles, val_tiles = open_sources(plates, wells)            # rows of tile files, by split
    model = build_model(config, seed)                               # or from ImageNet weights
    for epoch in range(epochs):
        for step in plan_epoch(train_tiles):                        # the same steps on every process
            channels = draw_channels(seed, step)                    # one subset for the whole step
            parts = loader.take(step, channels)                     # accumulated passes of this process
            prepared = [augment(normalise(tiles)) for tiles in parts]
            sums = sum_over_ranks(sum(model.channel_sums(part) for part in prepared))
            for part in prepared:
                output = model(part, noise, sums)                   # mask, encode, decode with channel embeddings
                loss = objective(output) * share_of_the_step        # masked pixels and filtered images
                loss.backward()                                     # DDP averages after the last part
            clip(gradients)
            optimiser.step(rate(step), skip=not finite(gradients))
            if it_is_time: log(sums), checkpoint(), stop_on_signal()
        scores = validate(val_tiles)                                # loss; errors and likeness of channels
        warn_if(predictions of channels are alike)
        reconstruct(snapshot_tiles), checkpoint()
    write(model.safetensors, metrics.parquet, snapshots.npz)
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from campfire.training.options import (
    EXIT_RESUMABLE,
    MACHINE_FIELDS,
    UNKNOWN_CODE,
    PretrainOptions,
    machine_values,
    result_values,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EXIT_RESUMABLE",
    "MACHINE_FIELDS",
    "PretrainOptions",
    "launch",
    "machine_values",
    "result_values",
    "train",
]


def train(
    options: PretrainOptions,
    plates: "Sequence[str | Path]",
    wells: "pd.DataFrame | str | Path",
    out_dir: str | Path,
    state_dir: str | Path,
    code: str = UNKNOWN_CODE,
    leave_out: Mapping[str, str] | None = None,
) -> "pd.DataFrame":
    """Pretrain in this process; see `campfire.training.trainer.train`. Imports torch on call.

    `options.threads` counts for `launch` only: here torch has the threads that this process gave it.
    """
    from campfire.training.trainer import train as run

    return run(options, plates, wells, out_dir, state_dir, code, leave_out)


def launch(
    options: PretrainOptions,
    plates: "Sequence[str | Path]",
    wells: str | Path,
    out_dir: str | Path,
    state_dir: str | Path,
    processes: int = 1,
    nodes: int = 1,
    threads: int = 1,
    tell: Callable[[str], None] | None = None,
    code: str = UNKNOWN_CODE,
    leave_out: Mapping[str, str] | None = None,
) -> int:
    """Train in new processes and return the exit code: 0, EXIT_RESUMABLE or another.

    processes: number per node, one per GPU. nodes: 1 is this machine; several are the nodes of the current Slurm job,
    started by srun with `threads` CPUs each. Signals are forwarded, and the processes have time to write a checkpoint.
    `tell` (such as `log.info`) receives every output line; without it the processes share our output.
    code: identifies the training code (see `train`). leave_out: wells and sites that are not trained on.
    """
    from campfire.core.files import write_json
    from campfire.training.launcher import start, start_by_srun, this_module

    config = Path(state_dir) / f"run-{options.fingerprint()}.json"
    write_json(
        config,
        {
            "options": options.as_dict(),
            # Links are not followed: a tile array that was moved and linked back has its index here, not there.
            "plates": [str(Path(p).absolute()) for p in plates],
            "wells": str(Path(wells).absolute()),
            "out": str(Path(out_dir).resolve()),
            "state": str(Path(state_dir).resolve()),
            "code": code,
            "leave_out": dict(leave_out or {}),
        },
    )
    command = this_module("--config", str(config.resolve()), *(["--plain"] if tell else []))
    if nodes == 1:
        return start(command, processes, tell=tell, threads=options.threads)
    return start_by_srun(command, processes, nodes, threads, tell)
