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
        options=what("transfer.head", config["transfer"]["head"]),
        machine=how("transfer.head", lambda wildcards: config["transfer"]["head"]),
        state=lambda wildcards: result(f"state/transfer/{wildcards.encoder}"),
        code=code("transfer_head"),
    script:
        "../scripts/transfer_head.py"
