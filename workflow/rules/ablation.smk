"""The paper's ablation study: trials of Tables 2.3 to 2.5 in stages, each upon the best trial of the one before."""

from campfire.runs.planning import read_study

study = read_study(run)


wildcard_constraints:
    stage="|".join(study.stages),
    trial=r"trial_\d+",


localrules:
    ablation,
    ablation_options,


rule ablation:
    """Tables of the paper's ablation runs (61 printed rows and the mask ratio), or of those that `ablation` names."""
    input:
        [run.files.table(f"ablation_{stage}") for stage in study.trials],


rule ablation_options:
    input:
        lambda wildcards: study.earlier_rankings(wildcards.stage),
    output:
        run.files.trial("{stage}", "{trial}", "options.json"),
    log:
        run.files.log("ablation/{stage}/{trial}_options"),
    conda:
        "../../envs/analysis.yaml"
    params:
        base=study.base,
        study=study.options,
        rows=lambda wildcards: study.rows(wildcards.stage, wildcards.trial),
        code=lambda wildcards: run.code("ablation_options"),
    script:
        "../scripts/ablation_options.py"


rule ablation_run:
    input:
        options=run.files.trial("{stage}", "{trial}", "options.json"),
        wells=run.files.wells,
        tiles=[run.files.tiles(plate) for plate in study.plates],
        index=[run.files.tile_index(plate) for plate in study.plates],
        imagenet=study.imagenet,
    output:
        model=run.files.trial("{stage}", "{trial}", "model.safetensors"),
        metrics=run.files.trial("{stage}", "{trial}", "metrics.parquet"),
        snapshots=run.files.trial("{stage}", "{trial}", "snapshots.npz"),
    log:
        run.files.log("ablation/{stage}/{trial}"),
    benchmark:
        run.files.benchmark("ablation/{stage}/{trial}")
    retries: 3
    conda:
        "../../envs/torch.yaml"
    threads: 16
    resources:
        mem_mb=64000,
        runtime=2880,
    params:
        run=study.options["run"],
        leave_out=run.left_out.of(study.plates),
        state=run.files.state("ablation/{stage}/{trial}"),
        code=lambda wildcards: run.code("pretrain"),
    script:
        "../scripts/pretrain.py"


rule ablation_ranking:
    input:
        lambda wildcards: study.metrics(wildcards.stage),
    output:
        run.files.ranking("{stage}"),
    log:
        run.files.log("ablation/{stage}/ranking"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        trials=lambda wildcards: study.trials[wildcards.stage],
        tables=study.options["tables"],
        rows=lambda wildcards: study.table(wildcards.stage),
        code=lambda wildcards: run.code("ablation_ranking"),
    script:
        "../scripts/ablation_ranking.py"


rule ablation_table:
    input:
        ranking=[run.files.ranking("{stage}")],
    output:
        report(
            results.files("table", "ablation_{stage}")[0],
            caption="../report/result.rst",
            category="9 Ablations",
            labels={"result": "{stage}", "kind": "table"},
        ),
        results.files("table", "ablation_{stage}")[1:],
    log:
        run.files.log("tables/ablation_{stage}"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        make="campfire.report.tables.ablation:make",
        settings=lambda wildcards: {
            "stage": wildcards.stage,
            "study": study.options["tables"],
        },
        rows=lambda wildcards: study.table(wildcards.stage),
        code=lambda wildcards: run.code("table", "campfire.report.tables.ablation:make"),
        caption=lambda wildcards, input: results.caption("table", "ablation"),
    script:
        "../scripts/table.py"
