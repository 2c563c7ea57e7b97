"""Cut the tiles of one plate in one pass over its images."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table, read_table_metadata
from campfire.images.tiles import TileOptions, write_plate

params = snakemake.params
write_plate(
    snakemake.output.tiles,
    snakemake.input.images,
    read_table(snakemake.input.nuclei),
    params.channels,
    TileOptions(**params.tiles),
    illumination=params.illumination,
    illumination_offset=params.illumination_offset,
    pixel_size_um=params.pixel_size_um,
    segmentation=read_table_metadata(snakemake.input.nuclei),
    threads=snakemake.threads,
)
