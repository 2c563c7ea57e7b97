rule pretrain_run:
    input:
        wells=result("split/wells.parquet"),
        tiles=lambda wildcards: training_tiles(wildcards.run),
        index=lambda wildcards: tile_files(run_options(wildcards.run), "parquet"),
        imagenet=lambda wildcards: weight_files(
            [run_options(wildcards.run).get("imagenet")]
        ),
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
        run=lambda wildcards: wildcards.run,
        options=lambda wildcards: in_order(run_options(wildcards.run)),
        # No declared output: Snakemake deletes outputs before a retry, a half-trained state must survive it.
        state=lambda wildcards: result(f"state/pretrain/{wildcards.run}"),
        code=code("pretrain"),
    script:
        "../scripts/pretrain.py"
