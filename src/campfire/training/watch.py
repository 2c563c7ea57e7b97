"""Checks during training: channels that are predicted alike, and steps that are not finite."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from campfire.core.errors import DivergedError
from campfire.training.channel_scores import BLIND, blindness
from campfire.training.engine import Engine
from campfire.training.epoch_plan import EpochPlan
from campfire.training.loader import Loader, save_batches
from campfire.training.progress import RunLog

SAVED_STEPS = 8
"""Most skipped steps whose tiles are saved between two reads of the device."""


class ChannelWatch:
    """Warns of validations with all channels predicted alike, until this ends, and of channels without contrast."""

    def __init__(self, run_log: RunLog, channels: Sequence[str]) -> None:
        self.run_log, self.channels = run_log, channels
        self.blind = False
        self.dead: list[str] = []

    def describe(self, epoch: int, row: Mapping[str, Any]) -> str:
        """Text on channels for the epoch's log line, from a validation's columns."""
        missing = blindness(row)
        blind = missing is not None and missing >= BLIND
        if blind and not self.blind:
            self.run_log.say(
                "epoch %d: masked patches of all channels are predicted alike (%.2f of what sets the channels apart is "
                "missing from the predictions). Early on this passes. If it stays, the decoder does not know its "
                "channels: stop, and choose a channel_scale that keeps their means (docs/channels.md)", epoch, missing,
                level=logging.WARNING,
            )  # fmt: skip
        elif self.blind and not blind:
            self.run_log.say("epoch %d: predictions of channels differ now (%.2f is missing)", epoch, missing)
        self.blind = blind
        known = [c for c in self.channels if f"masked_error_{c}" in row]
        dead = [c for c in self.channels if c not in known] if known else []
        if dead and dead != self.dead:
            self.run_log.say(
                "epoch %d: fewer than two validation tiles have any contrast in %s. Its images may be empty: look at "
                "them and at the table of image quality", epoch, ", ".join(dead), level=logging.WARNING,
            )  # fmt: skip
        self.dead = dead
        errors = [f"{c} {row[f'masked_error_{c}']:.3f}" for c in known]
        return f", masked error {', '.join(errors)}" if errors else ""


class SkippedSteps:
    """Saves the tiles of steps that were skipped because a gradient was not finite; too many end the run."""

    def __init__(
        self, engine: Engine, loader: Loader, run_log: RunLog, folder: Path, plan: Callable[[int], EpochPlan]
    ) -> None:
        self.engine, self.loader, self.run_log, self.folder, self.plan = engine, loader, run_log, folder, plan

    def report(self, before: int, now: int) -> None:
        """Handle the steps skipped since the last read; their total number then and now, over all processes."""
        numbers, limit = self.engine.bad_steps.tolist(), self.engine.options.skip_steps
        recent = [numbers[k % len(numbers)] for k in range(max(before, now - len(numbers)), now)]
        for number in recent[:SAVED_STEPS]:
            epoch, step, path = self._save(number)
            self.run_log.record("nonfinite", step=number, file=path.name)
            self.run_log.say(
                "step %d of epoch %d was skipped: its loss or gradient is not finite (%d of at most %d skipped steps). "
                "Its tiles are in %s; look there for damaged ones",
                step + 1, epoch + 1, now, limit, path, level=logging.WARNING,
            )  # fmt: skip
        if now > limit:
            raise DivergedError(
                f"the loss of {now} steps was not finite, more than `skip_steps` ({limit}); their tiles are in "
                f"{self.folder}. Look there for damaged tiles. A higher `skip_steps` resumes from the newest "
                "checkpoint; a lower learning_rate or clip restarts, or resumes too with `resume_changed: true`"
            )

    def _save(self, number: int) -> tuple[int, int, Path]:
        """Write this process's tiles of a step; its epoch, its step there, and the file."""
        per_epoch = self.plan(0).steps
        epoch, step = divmod(number, per_epoch)
        subset = self.engine.choose
        batches = self.loader.epoch(self.plan(epoch), epoch, step, lambda s, c: subset(epoch * per_epoch + s, c))
        with closing(batches):
            first = next(batches)
            found = [first, *islice(batches, first.parts - 1)]
        path = self.folder / f"nonfinite-step-{number:09d}-rank-{self.engine.processes.rank}.npz"
        save_batches(path, found, self.loader.source)
        return epoch, step, path
