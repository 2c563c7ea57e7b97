rule zprime:
    input:
        result("transfer/{encoder}/wells.parquet"),
    output:
        result("transfer/{encoder}/zprime.parquet"),
    log:
        log_file("transfer/{encoder}/zprime"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=what("transfer.zprime", config["transfer"]["zprime"]),
        code=code("zprime"),
    script:
        "../scripts/zprime.py"
