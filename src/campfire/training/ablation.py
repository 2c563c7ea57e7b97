"""The paper's ablation study (App. B): Tables 2.3 to 2.5 as runs; each stage starts from the best of the one before.

A row of a table becomes changes to the options of a base run (`campfire.training.PretrainOptions` as plain values);
finished runs are ranked by validation loss and reconstruction error.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.errors import ConfigError, DataError
from campfire.core.files import read_table
from campfire.core.yaml import merge
from campfire.training.options import AblationOptions

STAGES = ("loss", "architecture", "mask", "optimiser")
"""In the paper's order."""

COLUMNS = {
    "loss": ["trial", "lambda_s", "lambda_h", "lambda_l", "lambda_f", "h", "l"],
    "architecture": [
        "trial", "patch_size", "p_m", "drop_path_rate", "sync_mask", "imagenet1k_weights", "encoder_size",
    ],
    "mask": ["trial", "p_m"],
    "optimiser": ["trial", "learning_rate", "weight_decay"],
}  # fmt: skip
PAPER_TABLE = {"loss": "2.3", "architecture": "2.4", "mask": "", "optimiser": "2.5"}
"""Numbers of the printed tables; the mask ratio, varied separately after the second stage, is only in the text."""
PAPER_CHOICE = {"loss": 3, "architecture": 2, "mask": 2, "optimiser": 11}
"""Trials that replace a stage that was not run: 11 is the main text's, for the others see docs/decisions.md."""

ABLATION_RECIPE: dict[str, Any] = {
    "epochs": 50,
    "warmup_epochs": 10,
    "warmup_learning_rate": 1e-5,
    "learning_rate": 1e-4,
    "min_learning_rate": 1e-6,
    "weight_decay": 2e-3,
    "plate_types": ["TARGET2"],
    "model": {"patch_size": 16, "mask_ratio": 0.75},
}
"""Options shared by all ablation runs (App. B); rows of 2.4 and 2.5 override theirs."""
GLOBAL_BATCH = {"loss": 512, "architecture": 128, "mask": 128, "optimiser": 400}
"""Tiles per step over the paper's two GPUs, by stage."""
READINGS = {
    "permuted": ("spatial", "frequency", "high", "low"),
    "literal": ("spatial", "high", "low", "frequency"),
}
"""The four weights of Table 2.3, in the printed order of its columns, by reading."""


def read_stage(stage: str, folder: str | Path) -> pd.DataFrame:
    """A stage's rows from `folder`/<stage>.tsv: the printed values, NA as missing, indexed by trial.

    Raises ConfigError for an unknown stage, other columns, or a trial that occurs twice.
    """
    if stage not in STAGES:
        raise ConfigError(f"ablation stage {stage!r}: choose from {', '.join(STAGES)}")
    path = Path(folder) / f"{stage}.tsv"
    try:
        table = pd.read_csv(path, sep="\t", na_values=["NA"], keep_default_na=False)
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(f"{path}: not a readable table ({error})") from error
    if list(table.columns) != COLUMNS[stage]:
        raise ConfigError(f"{path}: columns are {list(table.columns)}; needed are {COLUMNS[stage]}")
    if table["trial"].duplicated().any():
        raise ConfigError(f"{path}: trial {table.loc[table['trial'].duplicated(), 'trial'].iloc[0]} occurs twice")
    return table.set_index("trial")


def row_changes(stage: str, row: Mapping[str, Any], study: AblationOptions | None = None) -> dict[str, Any]:
    """The options that a row sets, as a nested mapping; `study` gives the reading and the ImageNet weights."""
    study = study or AblationOptions()
    if stage == "loss":
        return {"objective": _loss_changes(row, study.reading)}
    if stage == "architecture":
        size = str(row["encoder_size"]).lower()
        return {
            "imagenet": study.imagenet.get(size, "hub") if bool(row["imagenet1k_weights"]) else "",
            "model": {
                "patch_size": int(row["patch_size"]),
                "mask_ratio": float(row["p_m"]),
                "drop_path": float(row["drop_path_rate"]),
                "sync_mask": bool(row["sync_mask"]),
                "size": size,
            },
        }
    if stage == "mask":
        return {"model": {"mask_ratio": float(row["p_m"])}}
    return {"learning_rate": float(row["learning_rate"]), "weight_decay": float(row["weight_decay"])}


def _loss_changes(row: Mapping[str, Any], reading: str) -> dict[str, float]:
    """Weights and fractions of a row of Table 2.3.

    The header reads (s, h, l, f), but h is given exactly where the third weight is positive and l exactly where the
    fourth is (27 of 27 rows): `permuted` reads the columns as (s, f, h, l), `literal` as in the header.
    """
    printed = [float(row[name]) for name in ("lambda_s", "lambda_h", "lambda_l", "lambda_f")]
    weights = dict(zip(READINGS[reading], printed, strict=True))
    fractions = {"high_fraction": row["h"], "low_fraction": row["l"]}
    # Without a fraction (NA) a filter drops nothing.
    return weights | {name: 0.0 if pd.isna(value) else float(value) for name, value in fractions.items()}


def stage_base(
    stage: str, base: Mapping[str, Any], study: AblationOptions, best: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Options that all runs of a stage start from: `base`, the recipe, then the best row of every stage before.

    best: the winning trial of each earlier stage (see `best_trial`); PAPER_CHOICE replaces a missing stage.
    """
    if stage not in STAGES:
        raise ConfigError(f"ablation stage {stage!r}: choose from {', '.join(STAGES)}")
    changes = {**ABLATION_RECIPE, "global_batch": GLOBAL_BATCH[stage]} if study.recipe is None else study.recipe
    options = merge(base, changes)
    for earlier in STAGES[: STAGES.index(stage)]:
        trial = (best or {}).get(earlier, PAPER_CHOICE[earlier])
        options = merge(options, row_changes(earlier, _row(earlier, study.tables, trial), study))
    if options.get("batch_size", 0) > options.get("global_batch", np.inf):
        options["batch_size"] = options["global_batch"]
    return options


def trial_options(
    stage: str, trial: int, base: Mapping[str, Any], study: AblationOptions, best: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Options of one run of a stage, for `PretrainOptions(**...)`; see `stage_base`."""
    start = stage_base(stage, base, study, best)
    return merge(start, row_changes(stage, _row(stage, study.tables, trial), study))


def _row(stage: str, folder: str | Path, trial: int) -> Mapping[str, Any]:
    table = read_stage(stage, folder)
    if trial not in table.index:
        raise ConfigError(f"ablation {stage}: no trial {trial}; there are {table.index.min()} to {table.index.max()}")
    return {str(name): value for name, value in table.loc[trial].to_dict().items()}


def choose_trials(stage: str, folder: str | Path, wanted: Iterable[int] | None = None) -> list[int]:
    """The trials to run: all rows of the table or the selected ones, in the table's order."""
    every = [int(trial) for trial in read_stage(stage, folder).index]
    if wanted is None:
        return every
    chosen = {int(trial) for trial in wanted}
    unknown = sorted(chosen - set(every))
    if unknown:
        raise ConfigError(f"ablation {stage}: no trial {unknown[0]}; there are {every[0]} to {every[-1]}")
    return [trial for trial in every if trial in chosen]


def choose(selection: Any, folder: str | Path) -> dict[str, list[int]]:
    """The trials of each stage that a selection names, stages in the paper's order.

    selection: `all`, a stage, a list of stages, or by stage a list of trials (or `all`), e.g. {"loss": [1, 3]}.
    """
    if selection == "all":
        selection = list(STAGES)
    named: Any = [selection] if isinstance(selection, str) else selection
    wanted: dict[str, Any] = dict(named) if isinstance(named, Mapping) else dict.fromkeys(named, "all")
    unknown = sorted(str(stage) for stage in set(wanted) - set(STAGES))
    if unknown:
        raise ConfigError(f"ablation: no stage {unknown[0]!r}; choose all or from {', '.join(STAGES)}")
    numbers = {stage: [trials] if isinstance(trials, int) else trials for stage, trials in wanted.items()}
    for stage, given in numbers.items():
        if given != "all" and not (isinstance(given, list) and all(isinstance(trial, int) for trial in given)):
            raise ConfigError(f"ablation {stage}: {given!r} is neither `all` nor a list of trials such as [1, 3]")
    numbers = {stage: None if given == "all" else given for stage, given in numbers.items()}
    trials = {stage: choose_trials(stage, folder, numbers[stage]) for stage in STAGES if stage in numbers}
    empty = [stage for stage, chosen in trials.items() if not chosen]
    if empty or not trials:
        raise ConfigError(f"ablation: no trial of {empty[0] if empty else 'any stage'} is chosen")
    return trials


def run_name(trial: int) -> str:
    """Name of a trial's folder below its stage, e.g. trial_03."""
    return f"trial_{trial:02d}"


def rank(stage: str, folder: str | Path, metrics: Mapping[int, str | Path | pd.DataFrame]) -> pd.DataFrame:
    """Ranking of finished trials: the table's row, its last validation, and its ranks.

    metrics: metrics.parquet (or that table) by trial. Columns added to the printed ones: `epochs`,
    `validation_loss`, `reconstruction_error` (mean squared error of masked pixels, for any objective),
    `rank_loss`, `rank_error` (1 is best, ties share the mean), `score` (their mean) and `best`. Losses of trials with
    different objectives are not on one scale, so the error counts as much and decides ties.
    Rows are sorted best first; a trial that ended early, because too many of its steps were not finite, comes last.
    Raises DataError for a run without a validation.
    """
    if not metrics:
        raise DataError(f"ablation {stage}: no finished run to rank")
    rows = []
    for trial in sorted(metrics):
        given = metrics[trial]
        table = given if isinstance(given, pd.DataFrame) else read_table(given)
        validated = table[table["split"] == "val"].sort_values("epoch")
        if validated.empty:
            raise DataError(f"ablation {stage} trial {trial}: never validated; set validation_every above 0")
        last = validated.iloc[-1]
        rows.append((trial, int(last["epoch"]), float(last["loss"]), float(last["masked_error"])))
    names = ["trial", "epochs", "validation_loss", "reconstruction_error"]
    found = pd.DataFrame(rows, columns=names).set_index("trial")
    found["rank_loss"] = found["validation_loss"].rank(na_option="bottom")
    found["rank_error"] = found["reconstruction_error"].rank(na_option="bottom")
    found["score"] = (found["rank_loss"] + found["rank_error"]) / 2
    ranked = read_stage(stage, folder).join(found, how="inner").reset_index()
    ranked["_early"] = ranked["epochs"] < ranked["epochs"].max()
    ranked = ranked.sort_values(["_early", "score", "reconstruction_error", "trial"], ignore_index=True)
    ranked = ranked.drop(columns="_early")
    return ranked.assign(best=[place == 0 for place in range(len(ranked))])


def best_trial(ranking: pd.DataFrame) -> int:
    """The winner of a table of `rank`."""
    return int(ranking.loc[ranking["best"].astype(bool), "trial"].iloc[0])
