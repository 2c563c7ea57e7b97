"""The paper's ablation study: trials of Tables 2.3 to 2.5 in stages, each upon the best trial of the one before."""


wildcard_constraints:
    stage="|".join(study.STAGES),
    trial=r"trial_\d+",


localrules:
    ablation,
    ablation_options,


rule ablation:
    """Tables of the paper's 61 ablation runs, or of those that `ablation` names."""
    input:
        expand(
            result("tables/ablation_{stage}.{suffix}"),
            stage=TRIALS,
            suffix=["csv", "md", "tex", "html", "json"],
        ),


rule ablation_options:
    input:
        earlier_rankings,
    output:
        result("ablation/{stage}/{trial}/options.json"),
    log:
        log_file("ablation/{stage}/{trial}_options"),
    conda:
        "../../envs/analysis.yaml"
    params:
        base=run.pretraining(STUDY["run"]),
        study=STUDY,
        rows=table_rows,
        code=code("ablation_options"),
    script:
        "../scripts/ablation_options.py"


rule ablation_run:
    input:
        options=result("ablation/{stage}/{trial}/options.json"),
        wells=result("split/wells.parquet"),
        tiles=[run.files.tiles(p) for p in run.plates_to_train_on(study_options())],
        index=[run.files.tile_index(p) for p in run.plates_to_train_on(study_options())],
        imagenet=study_weights(STUDY["imagenet"].values()),
    output:
        model=result("ablation/{stage}/{trial}/model.safetensors"),
        metrics=result("ablation/{stage}/{trial}/metrics.parquet"),
        snapshots=result("ablation/{stage}/{trial}/snapshots.npz"),
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
        result("ablation/{stage}/ranking.parquet"),
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
        ranking=result("ablation/{stage}/ranking.parquet"),
    output:
        report(
            results.files("table", "ablation_{stage}")[0],
            caption="../report/result.rst",
            category="9 Ablations",
            labels={"result": "{stage}", "kind": "table"},
        ),
        results.files("table", "ablation_{stage}")[1:],
    log:
        log_file("tables/ablation_{stage}"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        make="campfire.report.tables.ablation:make",
        settings=lambda wildcards: {"stage": wildcards.stage, "study": STUDY["tables"]},
        rows=lambda wildcards: study.read_stage(
            wildcards.stage, STUDY["tables"]
        ).to_csv(),
        code=lambda wildcards: run.code("table", "campfire.report.tables.ablation:make"),
        caption=lambda wildcards, input: results.caption("table", "ablation"),
    script:
        "../scripts/table.py"
