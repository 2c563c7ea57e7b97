rule embed:
    input:
        cells=run.files.sample,
        tiles=[run.files.tiles(plate) for plate in run.evaluation_plates],
        index=[run.files.tile_index(plate) for plate in run.evaluation_plates],
        weights=lambda wildcards: run.encoder(wildcards.encoder).weights,
    output:
        run.embeddings("{encoder}", "{channels}"),
    log:
        run.files.log("embed/{encoder}/{channels}"),
    benchmark:
        run.files.benchmark("embed/{encoder}/{channels}")
    conda:
        "../../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=16000,
        runtime=480,
    params:
        spec=lambda wildcards: run.encoder(wildcards.encoder).spec,
        channels=lambda wildcards: run.config["channel_sets"][wildcards.channels],
        cells=run.config["embed"]["cells"],
        machine=lambda wildcards, input: run.machine("embed"),
        # Finished plates are kept here, so that a killed or widened job embeds only what is missing.
        state=run.files.state("embed/{encoder}/{channels}"),
        code=lambda wildcards: run.embed_code(wildcards.encoder),
    script:
        "../scripts/embed.py"


use rule embed as embed_transfer with:
    input:
        cells=run.files.transfer_sample,
        tiles=[run.files.tiles(plate) for plate in run.transfer_plates],
        index=[run.files.tile_index(plate) for plate in run.transfer_plates],
        weights=lambda wildcards: run.encoder(wildcards.encoder).weights,
    output:
        [
            run.files.embeddings("{encoder}", "{channels}", plate)
            for plate in run.transfer_plates
        ],
    log:
        run.files.log("embed_transfer/{encoder}/{channels}"),
    benchmark:
        run.files.benchmark("embed_transfer/{encoder}/{channels}")
