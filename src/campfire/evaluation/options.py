"""Options of the sample of cells for the probes and of the intervals behind tables and figures."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from campfire.core.columns import PROTOCOLS, ProtocolName
from campfire.core.options import Options, Seed, option

Metric = Literal["accuracy", "balanced_accuracy"]
ProtocolNames = Annotated[Sequence[ProtocolName], AfterValidator(tuple)]
"""Protocols to run side by side."""


class SampleOptions(Options):
    """How many cells are drawn for the probes."""

    section: ClassVar[str] = "sample"

    protocols: ProtocolNames = option(PROTOCOLS, "release, paper and strict, any of them", internal=True)
    control_cells: int = option(
        100,
        "cells of each well (paper, strict) or of each plate, compound and split (release) for the controls",
        source="paper 3.2",
        ge=1,
    )
    heldout_cells: int = option(30, "cells of each well of a held-out compound", source="paper 3.2", ge=1)
    seed: Seed = option(100, "seed of every draw", source="release")
    reference_cells: int = option(
        100,
        "cells of each reference well (split.reference_wells), by which profiles normalise their plate",
        source="docs/decisions.md",
        ge=1,
    )
    too_few: Literal["take_all", "error"] = option(
        "take_all",
        "wells with fewer cells: take_all (those there are, with a warning) or error (as the release)",
    )

    control_classes: Literal["every", "merged", "positive"] = option(
        "every",
        "classes of the control task: every control; the negative controls together as one; or the positive controls "
        "alone, the negative ones then only normalise",
        source="paper 3.2",
    )

    def cells(self, task: str) -> int:
        """Number of cells to draw from a group of this task."""
        return self.control_cells if task == "control" else self.heldout_cells


class BootstrapOptions(Options):
    """Resampling of wells for the intervals of tables and figures."""

    section: ClassVar[str] = "bootstrap"

    replicates: int = option(2000, "resamples per interval", source="docs/decisions.md", ge=1)
    level: float = option(0.95, "coverage of the intervals, a fraction", gt=0, lt=1)
    metric: Metric = option("accuracy", "the interval is about the mean of this metric over fits")
    seed: Seed = option(0, "seed of the resamples; the same wells are drawn for every encoder and channel set")
