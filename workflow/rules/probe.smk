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
