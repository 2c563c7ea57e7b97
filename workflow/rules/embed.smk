from campfire.runs.embedding import lacking_channels, masking_nuclei


rule embed:
    input:
        cells=run.files.sample,
        tiles=[run.files.tiles(plate) for plate in run.evaluation_plates],
        index=[run.files.tile_index(plate) for plate in run.evaluation_plates],
        nuclei=lambda wildcards: masking_nuclei(run, wildcards.encoder),
        weights=lambda wildcards: run.encoder(wildcards.encoder).weights,
    output:
        run.embeddings("{encoder}", "{channels}"),
    log:
        run.files.log("embed/{encoder}/{channels}"),
    benchmark:
        run.files.benchmark("embed/{encoder}/{channels}")
    wildcard_constraints:
        encoder=run.encoder_pattern(tables=False),
    conda:
        "../../envs/torch.yaml"
    threads: 4
    resources:
        mem_mb=16000,
        runtime=480,
    params:
        spec=lambda wildcards: run.encoder(wildcards.encoder).spec,
        given=lambda wildcards: contents(run.encoder(wildcards.encoder).given_files),
        channels=lambda wildcards: run.channel_set(wildcards.channels),
        lacking=lambda wildcards: lacking_channels(run, wildcards.channels),
        cells=run.config.embed.cells,
        leave_out=run.left_out.of_embedding,
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
        nuclei=lambda wildcards: masking_nuclei(run, wildcards.encoder, transfer=True),
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


rule embed_table:
    """Embeddings made elsewhere, joined to this run's cells: no tiles are needed."""
    input:
        cells=run.files.sample,
        nuclei=[run.files.nuclei(plate) for plate in run.evaluation_plates],
        table=lambda wildcards: run.encoder(wildcards.encoder).weights,
    output:
        embeddings=run.embeddings("{encoder}", "{channels}"),
        matching=run.files.matching("{encoder}", "{channels}"),
    log:
        run.files.log("embed/{encoder}/{channels}"),
    wildcard_constraints:
        encoder=run.encoder_pattern(tables=True),
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=16000,
        runtime=60,
    params:
        spec=lambda wildcards: run.encoder(wildcards.encoder).spec,
        given=lambda wildcards: contents(run.encoder(wildcards.encoder).given_files),
        channels=lambda wildcards: run.channel_set(wildcards.channels),
        cells=run.config.embed.cells,
        leave_out=run.left_out.of_embedding,
        code=lambda wildcards: run.embed_code(wildcards.encoder, "embed_table"),
    script:
        "../scripts/embed_table.py"


use rule embed_table as embed_table_transfer with:
    input:
        cells=run.files.transfer_sample,
        nuclei=[run.files.nuclei(plate) for plate in run.transfer_plates],
        table=lambda wildcards: run.encoder(wildcards.encoder).weights,
    output:
        embeddings=[
            run.files.embeddings("{encoder}", "{channels}", plate)
            for plate in run.transfer_plates
        ],
        matching=run.files.matching("{encoder}", "{channels}", "transfer"),
    log:
        run.files.log("embed_transfer/{encoder}/{channels}"),
