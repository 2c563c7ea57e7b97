rule pretrain_run:
    input:
        wells=result("split/wells.parquet"),
        tiles=lambda wildcards: run_tiles(wildcards.run, "npy"),
        index=lambda wildcards: run_tiles(wildcards.run, "parquet"),
    output:
        model=result("pretrain/{run}/model.safetensors"),
        metrics=result("pretrain/{run}/metrics.parquet"),
        snapshots=result("pretrain/{run}/snapshots.npz"),
    log:
        log_file("pretrain/{run}"),
    benchmark:
        benchmark_file("pretrain/{run}")
    retries: 3
    conda:
        "../../envs/torch.yaml"
    threads: 16
    resources:
        mem_mb=64000,
        runtime=2880,
    params:
        options=lambda wildcards: run_options(wildcards.run),
        # No declared output: Snakemake deletes outputs before a retry, a half-trained state must survive it.
        state=lambda wildcards: result(f"state/pretrain/{wildcards.run}"),
        code=code("pretrain"),
    script:
        "../scripts/pretrain.py"
