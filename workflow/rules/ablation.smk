"""The paper's ablation study: trials of Tables 2.3 to 2.5 in stages, each upon the best trial of the one before."""

from campfire import ablation as study

STUDY = dict(config["pretrain"]["ablation"])
if not Path(
    STUDY["tables"]
).is_dir():  # not the user's own: the workflow's, wherever it is run
    STUDY["tables"] = str(Path(workflow.basedir) / STUDY["tables"])
STUDY_FOLDER = result("ablation/{stage}")
try:
    TRIALS = study.choose(config["ablation"], STUDY["tables"])
except CampfireError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    stage="|".join(study.STAGES),
    trial=r"trial_\d+",


localrules:
    ablation,
    ablation_options,


def study_options():
    """What a trial starts from before stages and rows: the base run under the recipe, both known beforehand."""
    try:
        return study.stage_base(
            "loss", run_options(STUDY["run"]), STUDY["tables"], recipe=STUDY["recipe"]
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


rule ablation:
    input:
        expand(
            result("tables/ablation_{stage}.{suffix}"),
            stage=TRIALS,
            suffix=["csv", "md", "tex", "html"],
        ),


rule ablation_options:
    input:
        earlier_rankings,
    output:
        STUDY_FOLDER + "/{trial}/options.json",
    log:
        log_file("ablation/{stage}/{trial}_options"),
    conda:
        "../../envs/analysis.yaml"
    params:
        base=run_options(STUDY["run"]),
        study=STUDY,
        rows=table_rows,
        code=code("ablation_options"),
    script:
        "../scripts/ablation_options.py"


rule ablation_run:
    input:
        options=STUDY_FOLDER + "/{trial}/options.json",
        wells=result("split/wells.parquet"),
        tiles=tile_files(study_options(), "npy"),
        index=tile_files(study_options(), "parquet"),
        imagenet=weight_files(STUDY["imagenet"].values()),
    output:
        model=STUDY_FOLDER + "/{trial}/model.safetensors",
        metrics=STUDY_FOLDER + "/{trial}/metrics.parquet",
        snapshots=STUDY_FOLDER + "/{trial}/snapshots.npz",
    log:
        log_file("ablation/{stage}/{trial}"),
    benchmark:
        benchmark_file("ablation/{stage}/{trial}")
    retries: 3
    conda:
        "../../envs/torch.yaml"
    threads: 16
    resources:
        mem_mb=64000,
        runtime=2880,
    params:
        run=STUDY["run"],
        state=result("state/ablation/{stage}/{trial}"),
        code=code("pretrain"),
    script:
        "../scripts/pretrain.py"


rule ablation_ranking:
    input:
        trial_files("metrics.parquet"),
    output:
        STUDY_FOLDER + "/ranking.parquet",
    log:
        log_file("ablation/{stage}/ranking"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        trials=lambda wildcards: TRIALS[wildcards.stage],
        tables=STUDY["tables"],
        rows=lambda wildcards: study.read_stage(
            wildcards.stage, STUDY["tables"]
        ).to_csv(),
        code=code("ablation_ranking"),
    script:
        "../scripts/ablation_ranking.py"


rule ablation_table:
    input:
        STUDY_FOLDER + "/ranking.parquet",
    output:
        report(
            result("tables/ablation_{stage}.html"),
            caption="../report/ablation.rst",
            category="9 Ablations",
            labels={"result": "{stage}", "kind": "table"},
        ),
        expand(
            result("tables/ablation_{{stage}}.{suffix}"), suffix=["csv", "md", "tex"]
        ),
    log:
        log_file("tables/ablation_{stage}"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        tables=STUDY["tables"],
        rows=lambda wildcards: study.read_stage(
            wildcards.stage, STUDY["tables"]
        ).to_csv(),
        code=code("ablation_table"),
    script:
        "../scripts/ablation_table.py"
