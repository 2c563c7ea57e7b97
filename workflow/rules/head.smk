"""Well embeddings of the transfer screen: through a trained head, or without one where `transfer.head` is null."""

if config["transfer"]["head"] is None:

    rule transfer_means:
        input:
            sheet=config["transfer"]["sheet"] or [],
            embeddings=lambda wildcards: transfer_embeddings(wildcards.encoder),
        output:
            wells=result("transfer/{encoder}/wells.parquet"),
        log:
            log_file("transfer/{encoder}/means"),
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=8000,
            runtime=60,
        params:
            code=code("transfer_means"),
        script:
            "../scripts/transfer_means.py"

else:

    rule transfer_head:
        input:
            sheet=config["transfer"]["sheet"] or [],
            embeddings=lambda wildcards: transfer_embeddings(wildcards.encoder),
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
