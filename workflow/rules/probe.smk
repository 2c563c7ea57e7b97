rule probe:
    input:
        cells=result("sample/cells.parquet"),
        embeddings=lambda wildcards: embedding_files(
            wildcards.encoder, wildcards.channels
        ),
    output:
        scores=result("probes/{encoder}/{channels}/scores.parquet"),
        predictions=result("probes/{encoder}/{channels}/predictions.parquet"),
    log:
        log_file("probe/{encoder}/{channels}"),
    benchmark:
        benchmark_file("probe/{encoder}/{channels}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=16000,
        runtime=120,
    params:
        options=what("probe", config["probe"]),
        code=code("probe"),
    script:
        "../scripts/probe.py"


rule price_leaks:
    input:
        cells=result("sample/cells.parquet"),
        embeddings=lambda wildcards: embedding_files(
            wildcards.encoder, wildcards.channels
        ),
    output:
        result("leaks/{encoder}/{channels}.parquet"),
    log:
        log_file("leaks/{encoder}/{channels}"),
    benchmark:
        benchmark_file("leaks/{encoder}/{channels}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=16000,
        runtime=240,
    params:
        options=config["probe"],
        negative_control=config["split"]["controls"][0],
        tables=interval_options(),
        code=code("leaks"),
    script:
        "../scripts/leaks.py"


rule profile:
    input:
        cells=result("sample/cells.parquet"),
        wells=result("split/wells.parquet"),
        embeddings=lambda wildcards: embedding_files(
            wildcards.encoder, wildcards.channels
        ),
    output:
        result("profiles/{encoder}/{channels}.parquet"),
    log:
        log_file("profiles/{encoder}/{channels}"),
    benchmark:
        benchmark_file("profiles/{encoder}/{channels}")
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=32000,
        runtime=240,
    params:
        # The first control is the negative one, unless the section says otherwise.
        options={
            "negative_control": config["split"]["controls"][0],
            **config["profiles"],
        },
        probe=config["probe"],
        tables=interval_options(),
        code=code("profiles"),
    script:
        "../scripts/profiles.py"
