rule probe:
    input:
        cells=run.files.sample,
        embeddings=run.embeddings("{encoder}", "{channels}"),
    output:
        scores=run.files.probe_scores("{encoder}", "{channels}"),
        predictions=run.files.probe_predictions("{encoder}", "{channels}"),
    log:
        run.files.log("probe/{encoder}/{channels}"),
    benchmark:
        run.files.benchmark("probe/{encoder}/{channels}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        options=run.options("probe"),
        code=lambda wildcards: run.code("probe"),
    script:
        "../scripts/probe.py"


rule leakage_effects:
    input:
        cells=run.files.sample,
        embeddings=run.embeddings("{encoder}", "{channels}"),
    output:
        run.files.leakage("{encoder}", "{channels}"),
    log:
        run.files.log("leakage/{encoder}/{channels}"),
    benchmark:
        run.files.benchmark("leakage/{encoder}/{channels}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        options=run.plain["probe"],
        negative_control=run.negative_controls[0],
        tables=run.interval_options(),
        code=lambda wildcards: run.code("leakage"),
    script:
        "../scripts/leakage.py"


rule profile:
    input:
        cells=run.files.sample,
        wells=run.files.wells,
        embeddings=run.embeddings("{encoder}", "{channels}"),
    output:
        run.files.profiles("{encoder}", "{channels}"),
    log:
        run.files.log("profiles/{encoder}/{channels}"),
    benchmark:
        run.files.benchmark("profiles/{encoder}/{channels}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=32000,
        runtime=240,
    params:
        options=run.profile_options(),
        leave_out=run.left_out.of_evaluation,
        probe=run.plain["probe"],
        tables=run.interval_options(),
        code=lambda wildcards: run.code("profiles"),
    script:
        "../scripts/profiles.py"
