rule transfer_head:
    input:
        sheet=config["transfer"]["sheet"] or [],
        embeddings=lambda wildcards: embedding_files(
            wildcards.encoder, config["transfer"]["channel_set"], TRANSFER_PLATES
        ),
    output:
        wells=result("transfer/{encoder}/wells.parquet"),
        head=result("transfer/{encoder}/head.safetensors"),
    log:
        log_file("transfer/{encoder}/head"),
    benchmark:
        benchmark_file("transfer/{encoder}")
    retries: 1
    conda:
        "../../envs/torch.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        options=config["transfer"]["head"],
        state=lambda wildcards: result(f"state/transfer/{wildcards.encoder}"),
        code=code("transfer_head"),
    script:
        "../scripts/transfer_head.py"


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
        options=config["transfer"]["zprime"],
        code=code("zprime"),
    script:
        "../scripts/zprime.py"
