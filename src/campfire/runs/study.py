"""The ablation study of a run: its trials, what they are trained on, and what each inherits from earlier stages."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from campfire.runs.files import weight_files
from campfire.runs.run import Run
from campfire.training import ablation
from campfire.training.ablation import STAGES


class Study:
    """What the rules of the target `ablation` need."""

    stages = STAGES
    """In the paper's order."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.options: dict[str, Any] = dict(run.plain["pretrain"]["ablation"])
        chosen = {stage: "all" if trials is None else list(trials) for stage, trials in run.config.trials.items()}
        self.trials: dict[str, list[int]] = ablation.choose(chosen, self.options["tables"])
        """Stage -> the trials that the config selects, stages in the paper's order."""

    @property
    def base(self) -> dict[str, Any]:
        """Options of the pretraining run that every trial starts from."""
        return self.run.pretraining(self.options["run"])

    @cached_property
    def plates(self) -> list[str]:
        """The plates that trials learn from: those of the base run under the recipe."""
        options = ablation.stage_base("loss", self.base, ablation.AblationOptions(**self.options))
        return self.run.plates_to_train_on(options)

    @property
    def imagenet(self) -> list[str]:
        """Files of ImageNet weights that trials start from."""
        return weight_files(self.options["imagenet"].values())

    def earlier_rankings(self, stage: str) -> list[str]:
        """Rankings of the stages before this one: of those that are selected, or that were ranked in an earlier run."""
        paths = {earlier: self.run.files.ranking(earlier) for earlier in _before(stage)}
        return [path for earlier, path in paths.items() if earlier in self.trials or Path(path).is_file()]

    def rows(self, stage: str, trial: str) -> dict[str, str]:
        """The rows that define a trial's options: its own and, from each earlier stage, the paper's choice."""
        chosen: Mapping[str, int] = {
            stage: int(trial.removeprefix("trial_")),
            **{earlier: ablation.PAPER_CHOICE[earlier] for earlier in _before(stage)},
        }
        return {name: self._table(name).loc[number].to_json() for name, number in chosen.items()}

    def table(self, stage: str) -> str:
        """All rows of a stage as text, so that an edit of its file counts."""
        return str(self._table(stage).to_csv())

    def _table(self, stage: str) -> Any:
        return ablation.read_stage(stage, self.options["tables"])

    def metrics(self, stage: str) -> list[str]:
        """The metrics of every selected trial of a stage."""
        trials = self.trials.get(stage, [])
        return [self.run.files.trial(stage, ablation.run_name(trial), "metrics.parquet") for trial in trials]


def _before(stage: str) -> tuple[str, ...]:
    return STAGES[: STAGES.index(stage)]
