"""What the ablation study is made of: its config, its trials, and the functions that its rules use. No rules here."""

from campfire.runs.files import weight_files as study_weights
from campfire.training import ablation as study

STUDY = dict(config["pretrain"]["ablation"])
if not Path(
    STUDY["tables"]
).is_dir():  # not the user's own: the workflow's, wherever it is run
    STUDY["tables"] = str(Path(workflow.basedir) / STUDY["tables"])
try:
    TRIALS = study.choose(config["ablation"], STUDY["tables"])
except CampfireError as error:
    raise WorkflowError(str(error)) from None


def study_options():
    """What a trial starts from before stages and rows: the base run under the recipe, both known beforehand."""
    try:
        return study.stage_base(
            "loss", run.pretraining(STUDY["run"]), study.AblationOptions(**STUDY)
        )
    except CampfireError as error:
        raise WorkflowError(str(error)) from None


def earlier_rankings(wildcards):
    """Rankings of the stages before this one: those that are chosen, or that were ranked before."""
    before = study.STAGES[: study.STAGES.index(wildcards.stage)]
    paths = {stage: result(f"ablation/{stage}/ranking.parquet") for stage in before}
    return [p for stage, p in paths.items() if stage in TRIALS or Path(p).is_file()]


def table_rows(wildcards):
    """What the options of a trial are made of: its row and, of each stage before, the row that the paper chose."""
    rows = {wildcards.stage: int(wildcards.trial.removeprefix("trial_"))}
    for stage in study.STAGES[: study.STAGES.index(wildcards.stage)]:
        rows[stage] = study.PAPER_CHOICE[stage]
    return {
        stage: study.read_stage(stage, STUDY["tables"]).loc[trial].to_json()
        for stage, trial in rows.items()
    }


def trial_files(name):
    """This file of every chosen trial of a stage."""
    return lambda wildcards: [
        result(f"ablation/{wildcards.stage}/{study.run_name(trial)}/{name}")
        for trial in TRIALS.get(wildcards.stage, [])
    ]
