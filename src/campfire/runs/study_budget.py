"""What an ablation study costs before it starts: GPU hours of each trial, from its arithmetic and stated rates."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campfire.core.text import work_hours
from campfire.model import ModelConfig
from campfire.runs.forecast import LARGE_TILES_S, count_wells, known_wells
from campfire.runs.run import Run
from campfire.runs.scale import SourceFacts
from campfire.runs.study import Study
from campfire.training import PretrainOptions
from campfire.training.ablation import AblationOptions, trial_options
from campfire.training.flops import training_flops

MINUTE = 1 / 60
"""In hours."""


@dataclass(frozen=True)
class TrialCost:
    """A trial's tile passes (tiles times epochs) and its floating-point operations, upper bounds."""

    stage: str
    trial: int
    passes: float
    flops: float


def gpu_rates() -> dict[str, float]:
    """GPU -> operations per second that it reaches in training ViT-L/14: `LARGE_TILES_S` as arithmetic.

    The H200 was measured with three channels in every step, the paper's A100 had one to three.
    """
    large = ModelConfig(size="large", patch_size=14, mask_ratio=0.8)
    three, mean = training_flops(large, 3), sum(training_flops(large, count) for count in (1, 2, 3)) / 3
    return {"H200": LARGE_TILES_S["H200"] * three, "A100": LARGE_TILES_S["A100"] * mean}


def training_tiles(run: Run, plates: Iterable[str], facts: SourceFacts | None = None) -> float:
    """Tiles of the train wells of these plates: by their indices where they are cut, else by the source's mean."""
    import pyarrow.parquet as pq

    facts, known, tiles = facts or SourceFacts(), known_wells(run), 0.0
    for plate in plates:
        trained, used = count_wells(run, plate, known, "train"), count_wells(run, plate, known)
        index = Path(run.files.tile_index(plate))
        try:
            cut = pq.read_metadata(index).num_rows if index.is_file() else 0
        except (OSError, ValueError):
            cut = 0
        tiles += cut * trained / max(used, 1) if cut else trained * facts.sites_per_well * facts.cells_per_site
    return tiles


def budget(study: Study, trials: Iterable[tuple[str, int]]) -> list[TrialCost]:
    """The cost of trials (stage, number), each upon the paper's choice of the stages before its own."""
    options = AblationOptions(**study.options)
    tiles, found = training_tiles(study.run, study.plates), []
    for stage, trial in trials:
        values: dict[str, Any] = trial_options(stage, trial, study.base, options)
        known = PretrainOptions(**values)
        count = len(known.channels)
        subset = [count] if known.augmentation.channel_subset == "all" else range(1, count + 1)
        each = sum(training_flops(known.model, channels) for channels in subset) / len(subset)
        passes = min(tiles, known.max_tiles or tiles) * known.epochs
        found.append(TrialCost(stage, trial, passes, passes * each))
    return found


def render(costs: Iterable[TrialCost]) -> str:
    """The budget as text, a line per stage."""
    costs, rates = list(costs), gpu_rates()
    heads = " or ".join(f"{gpu} hours" for gpu in rates)
    lines = [f"Budget of the ablation study ({heads}, at the operations per second of ViT-L/14; upper bounds):"]
    stages = list(dict.fromkeys(cost.stage for cost in costs))
    for name in [*stages, *(["total"] if len(stages) > 1 else [])]:
        own = [cost for cost in costs if name in (cost.stage, "total")]
        hours = [sum(cost.flops for cost in own) / rate / 3600 for rate in rates.values()]
        longest = max(own, key=lambda cost: cost.flops)
        text = "under a minute"
        if max(hours) >= MINUTE:
            text = (
                f"{' or '.join(map(work_hours, hours))}, the longest ({longest.stage} {longest.trial}) "
                f"{work_hours(longest.flops / rates['H200'] / 3600)} of an H200"
            )
        lines.append(f"  {name:<12} {len(own):>3} trial{'s' if len(own) > 1 else ' '}  {text}")
    return "\n".join(lines)
