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


rule reconstruct_unseen:
    """Tiles of test wells through the model of a run, on trained and on untrained channels."""
    input:
        weights=run.files.pretrained("{run}"),
        tiles=[run.files.tiles(plate) for plate in results.test_plates[:1]],
        index=[run.files.tile_index(plate) for plate in results.test_plates[:1]],
        wells=run.files.wells,
    output:
        run.files.unseen("{run}"),
    log:
        run.files.log("unseen/{run}"),
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        sets=lambda wildcards: results.reconstructed_sets(wildcards.run),
        code=lambda wildcards: run.code("unseen"),
    script:
        "../scripts/unseen.py"
