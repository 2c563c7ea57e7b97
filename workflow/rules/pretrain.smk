rule pretrain_run:
    input:
        wells=run.files.wells,
        tiles=lambda wildcards: run.training_tiles(wildcards.run),
        index=lambda wildcards: run.training_index(wildcards.run),
        imagenet=lambda wildcards: run.imagenet(wildcards.run),
    output:
        model=run.files.pretrained("{run}"),
        metrics=run.files.pretrained("{run}", "metrics.parquet"),
        snapshots=run.files.pretrained("{run}", "snapshots.npz"),
    log:
        run.files.log("pretrain/{run}"),
    benchmark:
        run.files.benchmark("pretrain/{run}")
    retries: 3
    conda:
        "../../envs/torch.yaml"
    threads: 16
    resources:
        mem_mb=64000,
        runtime=2880,
    params:
        run=lambda wildcards: wildcards.run,
        options=lambda wildcards: run.pretraining_options(wildcards.run),
        given=lambda wildcards: contents(run.imagenet(wildcards.run)),
        leave_out=lambda wildcards: run.left_out.of_training(wildcards.run),
        # No declared output: Snakemake deletes outputs before a retry, but a half-trained state must survive it.
        state=run.files.state("pretrain/{run}"),
        code=lambda wildcards: run.code("pretrain"),
    script:
        "../scripts/pretrain.py"
