rule zprime:
    input:
        run.files.transfer_wells("{encoder}"),
    output:
        run.files.zprime("{encoder}"),
    log:
        run.files.log("transfer/{encoder}/zprime"),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=run.options("transfer.zprime"),
        code=lambda wildcards: run.code("zprime"),
    script:
        "../scripts/zprime.py"
