"""The files that a bundle packs, and those that they were made from."""

from campfire.runs.run import Run


def bundle_files(run: Run) -> list[str]:
    """Inputs of tables and figures that `start_from: embeddings` does not make: the content of a bundle."""
    files = run.files
    return [
        *(files.wells, files.sample),
        *map(files.quality, run.all_plates),
        files.attrition,
        *(path for pair in run.pairs for path in run.embeddings(*pair)),
        *(
            files.pretrained(name, file)
            for name in run.pretraining_runs
            for file in ("metrics.parquet", "snapshots.npz")
        ),
        *(path for encoder in run.transfer_encoders for path in run.transfer_embeddings(encoder)),
        *map(files.transfer_wells, run.transfer_encoders),
        *run.transfer_heads(),
    ]


def upstream_files(run: Run) -> list[str]:
    """The files that a bundle's files were made from; a bundle records their checksums."""
    files = run.files
    stages = (files.download, files.nuclei, files.tile_index)
    return [
        *map(files.metadata, run.config.metadata),
        *(stage(plate) for stage in stages for plate in run.all_plates),
        *(path for encoder in run.encoders for path in run.encoder(encoder).weights),
    ]
