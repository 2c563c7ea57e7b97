"""The run: epochs of steps, validation, snapshots, checkpoints, and at the end the three outputs."""

import logging
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from campfire.core.errors import ConfigError, DivergedError, InterruptedRunError
from campfire.core.files import read_table, single_writer
from campfire.core.random import keyed_generator
from campfire.model import read_header
from campfire.model.checkpoints import Checkpoint, load_optimiser, optimiser_tensors
from campfire.screen.leave_out import LeaveOut
from campfire.training.changed_options import earlier_run, note_options
from campfire.training.engine import Engine
from campfire.training.epoch_plan import EpochPlan, plan_epoch
from campfire.training.flops import peak_rate, training_flops
from campfire.training.learning_rate import schedule
from campfire.training.loader import Loader
from campfire.training.meter import Meter, columns, memory_gib
from campfire.training.opened import once_per_node, open_tiles
from campfire.training.options import UNKNOWN_CODE, PretrainOptions
from campfire.training.outputs import RunFolder, Snapshots, metrics_table, write_outputs
from campfire.training.position import Position
from campfire.training.processes import Processes, StopSignal, join
from campfire.training.progress import RunLog
from campfire.training.source import Source
from campfire.training.watch import ChannelWatch, SkippedSteps

log = logging.getLogger(__name__)


def train(
    options: PretrainOptions,
    plates: Sequence[str | Path],
    wells: pd.DataFrame | str | Path,
    out_dir: str | Path,
    state_dir: str | Path,
    code: str = UNKNOWN_CODE,
    leave_out: LeaveOut | None = None,
) -> pd.DataFrame:
    """Pretrain on the train wells of packed plates, or resume from the newest checkpoint in `state_dir`.

    plates: tile files (tiles/{plate}.npy). wells: split/wells.parquet or that table. Writes model.safetensors,
    metrics.parquet and snapshots.npz to `out_dir` at the end (docs/contracts.md) and returns the metrics.
    Under torchrun every process calls this with the same arguments. With the same inputs and number of processes the
    weights on the CPU are the same bit for bit, however often the run was stopped or killed. A finished run leaves no
    checkpoints but links to its outputs in `state_dir`; the same run by the same code is then restored from there.
    code: identifies the training code; it is recorded in the weights, and a finished run of other code is another run.
    leave_out: wells and sites whose tiles are not used.

    Raises InterruptedRunError after SIGINT, SIGTERM or SIGUSR1 (a checkpoint is written; exit with EXIT_RESUMABLE),
    DataError and ConfigError for inputs that do not fit, CampfireError for a loss that is too often not finite.
    """
    with StopSignal() as stop, join(options.device, options.deterministic) as processes:
        opened = once_per_node(processes, lambda: open_tiles(options, plates, wells, leave_out))
        if opened.train.tiles < processes.world:
            raise ConfigError(f"{opened.train.tiles} train tiles for {processes.world} processes; use fewer processes")
        with single_writer(state_dir) if processes.first else nullcontext():
            run = Run(options, processes, stop, opened.train, opened.val, opened.data, Path(state_dir), code)
            return run.go(Path(out_dir))


class Run:
    """One process's part of a run."""

    def __init__(
        self,
        options: PretrainOptions,
        processes: Processes,
        stop: StopSignal,
        train_tiles: Source,
        val_tiles: Source,
        data: str,
        state_dir: Path,
        code: str,
    ) -> None:
        self.options, self.processes, self.stop, self.data = options, processes, stop, data
        self.train_tiles, self.val_tiles = train_tiles, val_tiles
        self.engine = Engine(options, processes, [train_tiles, val_tiles])
        self.loader, self.val_loader = (
            Loader(
                source,
                options.batch_size,
                rank=processes.rank,
                seed=options.seed,
                shuffle=source is train_tiles,
                shard_tiles=options.shard_tiles,
                window_tiles=options.window_tiles,
                threads=options.loader_threads,
                prefetch=options.prefetch_batches,
                pin=processes.device.type == "cuda",
            )
            for source in (train_tiles, val_tiles)
        )
        self.steps = self._plan(0).steps
        self.schedule = schedule(options, self.steps)
        identity = sha256(f"{options.fingerprint()}{data}".encode()).hexdigest()[:12]
        self.state = RunFolder(state_dir, identity)
        self.code = [code]
        self.run_log = RunLog(self.state.folder / "log.jsonl" if processes.first else None)
        self.snapshots = Snapshots(self.engine, val_tiles if val_tiles.tiles else train_tiles, self.state.folder)
        self.progress = Position()
        self.channels = ChannelWatch(self.run_log, options.channels)
        self.skipped = SkippedSteps(self.engine, self.loader, self.run_log, self.state.folder, self._plan)
        self.saved_at = time.monotonic()
        most = max(len(g.channels) for g in train_tiles.groups)
        self.flops = {c: training_flops(self.engine.config, c) for c in range(1, most + 1)}
        self.peak = peak_rate(processes.device, self.engine.bf16) * processes.world

    @property
    def number(self) -> int:
        """Optimiser steps done since the beginning of the run."""
        return self.progress.epoch * self.steps + self.progress.step

    def go(self, out_dir: Path) -> pd.DataFrame:
        """Train from the position in the state folder; write the outputs."""
        try:
            # Only the first process looks: on a network file system others may see files later.
            finished = self._put_back(out_dir) if self.processes.first else None
            if (finished := self.processes.share(finished)) is not None:
                return finished
            self._resume()
            while self.progress.epoch < self.options.epochs and not self._diverges():
                pass
            if self.processes.first:
                write_outputs(out_dir, self.engine.model, self._header(out_dir.name), self.progress, self.snapshots)
                self.state.finish(out_dir)
                self.run_log.say("finished: %s", out_dir)
            self.processes.wait()
            return metrics_table(self.progress.history)
        finally:
            self.run_log.close()

    def _diverges(self) -> bool:
        """Train for an epoch; whether it ended early because too many steps were not finite, where that is no error."""
        try:
            self._epoch()
        except DivergedError as error:
            if self.options.diverged == "stop":
                raise
            self.run_log.say("%s. The run ends here with the weights before those steps", error, level=logging.WARNING)
            if self.val_tiles.tiles and not any(row["split"] == "val" for row in self.progress.history):
                self.progress.history.append(self._validate(self.progress.epoch))
            return True
        return False

    def _put_back(self, out_dir: Path) -> pd.DataFrame | None:
        """Metrics of this run, its outputs restored, if the present code finished it before; else None."""
        kept = self.state.finished()
        if kept is None or read_header(kept / "model.safetensors").get("code") != self.code:
            return None
        self.state.restore(out_dir)
        self.run_log.say("%s: this run is finished; its outputs are restored from %s", out_dir, self.state.folder)
        return read_table(out_dir / "metrics.parquet")

    def _header(self, name: str) -> dict[str, Any]:
        """Metadata of the weight file on its origin."""
        return {
            "run": name,
            "options": self.options.as_dict(),
            "normalisation": self.engine.augmentation.normalisation,
            "channels": list(self.options.channels),
            "seed": self.options.seed,
            "imagenet": self.options.imagenet,
            "data": self.data,
            "code": self.code,
            "train_tiles": self.train_tiles.tiles,
            "plates": sorted(set(self.train_tiles.plates)),
            "processes": self.processes.world,
            "steps": self.options.epochs * self.steps,
            "changes": self.progress.changes,
        }

    def _plan(self, epoch: int) -> EpochPlan:
        sizes = [group.tiles for group in self.train_tiles.groups]
        rng = keyed_generator(self.options.seed, epoch)
        return plan_epoch(sizes, self.options.global_batch, self.processes.world, rng)

    def _resume(self) -> None:
        checkpoint: Checkpoint | None = None
        if self.processes.first:
            self.state.clean()
            checkpoint = self.state.load()
            if checkpoint is None and self.options.resume_changed:
                checkpoint = earlier_run(self.state, self.options, self.data)
            note_options(self.state, self.options, self.data)
        # All processes resume from what the first one read: they agree, and a big file is read once.
        position = self.processes.share((checkpoint.state, checkpoint.path) if checkpoint else None)
        if position is None:
            self.run_log.say(
                "training on %d tiles: %d epochs of %d steps of %d tiles, on %d x %s",
                self.train_tiles.tiles, self.options.epochs, self.steps, self.options.global_batch,
                self.processes.world, self.processes.device.type,
            )  # fmt: skip
            return
        tensors = self.processes.share_tensors(checkpoint.tensors if checkpoint else None)
        state, path = dict(position[0]), position[1]
        sums = tensors["sums"]
        if state.pop("world") != self.processes.world:
            log.warning("%s: written by another number of processes; some tiles of its epoch repeat", path)
            sums = torch.cat([sums.sum(0, keepdim=True), sums.new_zeros(self.processes.world - 1, sums.shape[1])])
        before = state.pop("code")
        if before[-1] != self.code[-1]:
            log.warning("%s: written by other code; remove it to restart with the present code", path)
        self.code = before if before[-1] == self.code[-1] else [*before, *self.code]
        model = {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
        self.engine.model.load_state_dict(model)
        load_optimiser(self.engine.optimiser, self.engine.names, tensors)
        self.engine.sums = sums[self.processes.rank].to(self.processes.device)
        self.progress = Position(**state)
        self.engine.skipped.fill_(self.progress.skipped)
        self.run_log.say("resuming from %s: epoch %d", path, self.progress.epoch + 1)
        self.run_log.record("resume", checkpoint=path.name, step=self.number)

    def _save(self, sums: Tensor | None = None) -> None:
        """Write a checkpoint that starts with the next step (first process only)."""
        began = time.monotonic()
        tensors = {f"model.{name}": value for name, value in self.engine.model.state_dict().items()}
        tensors.update(optimiser_tensors(self.engine.optimiser, self.engine.names))
        none = torch.zeros(self.processes.world, len(self.engine.sums), dtype=torch.float64)
        tensors["sums"] = none if sums is None else sums
        path = self.state.save(
            self.number, tensors, {**vars(self.progress), "world": self.processes.world, "code": self.code}
        )
        self.saved_at = time.monotonic()
        self.run_log.record("checkpoint", file=path.name, save_seconds=round(self.saved_at - began, 3))

    def _epoch(self) -> None:
        progress, options, engine = self.progress, self.options, self.engine
        plan, base = self._plan(progress.epoch), progress.epoch * self.steps
        if progress.step == 0:
            engine.restart_sums()
        totals = self.processes.gather(engine.sums).sum(0)
        meter = Meter(engine.task.names, self.flops, self.peak, totals, self.train_tiles)

        def choose(step: int, channels: tuple[str, ...]) -> list[int]:
            return engine.choose(base + step, channels)

        with closing(self.loader.epoch(plan, progress.epoch, progress.step, choose)) as batches:
            watched = meter.watch(batches)
            for first in watched:
                parts = chain([first], islice(watched, first.parts - 1))
                engine.step(base + first.step, parts, self.train_tiles, self.schedule.rate(base + first.step))
                progress.step = first.step + 1
                by_count = bool(options.checkpoint_steps) and self.number % options.checkpoint_steps == 0
                if by_count or progress.step == self.steps or self.number % options.log_steps == 0:
                    self._look(meter, by_count)
        self._end_epoch(meter.totals)

    def _look(self, meter: Meter, by_count: bool) -> None:
        """Fetch the sums from the device; log, save and stop when due."""
        engine, progress, device = self.engine, self.progress, self.processes.device
        flags = torch.tensor([bool(self.stop.name), by_count or self._clock()], dtype=torch.float64, device=device)
        skipped, norm = engine.skipped.double()[None], engine.norm.double()[None]
        everyone = self.processes.gather(torch.cat([skipped, norm, flags, engine.sums]))
        if everyone[0, 0] > progress.skipped:
            before, progress.skipped = progress.skipped, int(everyone[0, 0])
            self.skipped.report(before, progress.skipped)
        sums = everyone[:, 4:].contiguous()
        values = meter.read(sums.sum(0))
        progress.norm = float(everyone[0, 1])
        progress.seconds += values["seconds"]
        progress.flops += values.pop("flops")
        all_steps = self.options.epochs * self.steps
        values |= {
            "epoch": progress.epoch + 1,
            "epochs": self.options.epochs,
            "step": self.number,
            "steps": all_steps,
            "lr": self.schedule.rate(self.number - 1),
            "grad_norm": progress.norm,
            "memory_gib": memory_gib(device),
            "seconds_left": (all_steps - self.number) / max(values["steps_per_s"], 1e-9),
        }
        self.run_log.record("step", **values)
        self.run_log.progress(values)
        if progress.step < self.steps:  # at the end of an epoch the validation comes first
            stopping = bool(everyone[:, 2].any())
            if self.processes.first and (stopping or bool(everyone[0, 3])):
                self._save(sums)
            if stopping:
                self._interrupt()
        meter.resume()

    def _clock(self) -> bool:
        return time.monotonic() - self.saved_at > 60 * self.options.checkpoint_minutes

    def _interrupt(self) -> None:
        self.processes.wait()
        self.run_log.record("stopped", signal=self.stop.name)
        raise InterruptedRunError(f"{self.state.folder}: stopped by a signal after a checkpoint; start again to resume")

    def _end_epoch(self, totals: Tensor) -> None:
        """Validate, reconstruct, note the epoch, save; stop here if a signal came."""
        options, progress, done = self.options, self.progress, self.progress.epoch + 1
        means = dict(zip(self.engine.task.names, (totals[:-1] / totals[-1].clamp_min(1)).tolist(), strict=True))
        row = {"epoch": done, "step": self.number, "split": "train", **columns(means)}
        row |= {
            "lr": self.schedule.rate(self.number - 1),
            "grad_norm": progress.norm,
            "tiles": float(totals[-1]),
            "seconds": progress.seconds,
            "tiles_per_s": float(totals[-1]) / progress.seconds,
            "mfu": progress.flops / progress.seconds / self.peak if self.peak else None,
            "memory_gib": memory_gib(self.processes.device),
        }
        progress.history.append(row)
        text = f"epoch {done}/{options.epochs}: loss {row['loss']:.4f}"
        every = options.validation_every
        if every and self.val_tiles.tiles and (done % every == 0 or done == options.epochs):
            validated = self._validate(done)
            progress.history.append(validated)
            text += f", validation {validated['loss']:.4f}" + self.channels.describe(done, validated)
        if done in options.snapshots() and self.processes.first:
            self.snapshots.write(done)
        self.run_log.say("%s, %.0f tiles/s", text, row["tiles_per_s"])
        crossed = options.checkpoint_steps and self.number % options.checkpoint_steps == 0
        self.progress = progress.after(done)
        flags = [bool(self.stop.name), bool(crossed) or self._clock() or done == options.epochs]
        everyone = self.processes.gather(torch.tensor(flags, dtype=torch.float64, device=self.processes.device))
        stopping = bool(everyone[:, 0].any()) and done < options.epochs
        if self.processes.first and (stopping or bool(everyone[0, 1])):
            self._save()
        if stopping:
            self._interrupt()

    def _validate(self, epoch: int) -> dict[str, Any]:
        began, world = time.monotonic(), self.processes.world
        plan = plan_epoch([g.tiles for g in self.val_tiles.groups], self.options.batch_size * world, world, None)
        values = self.engine.validate(lambda: self.val_loader.epoch(plan, 0), self.val_tiles)
        seconds = time.monotonic() - began
        row = {"epoch": epoch, "step": self.number, "split": "val", **columns(values), "seconds": seconds}
        row["tiles"] = float(self.val_tiles.tiles)
        self.run_log.record("validation", **row)
        return row
