"""Segment the nuclei of one plate, measure the quality of its sites, and select the nuclei that become tiles."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import write_table
from campfire.images.nuclei import NucleiOptions, describe, segment_plate
from campfire.images.quality import QualityOptions

params = snakemake.params
options = NucleiOptions(**params.nuclei, **params.machine)
nuclei, quality = segment_plate(
    snakemake.input.images,
    params.pixel_size_um,
    options,
    QualityOptions(**params.quality),
    illumination=params.illumination,
    illumination_offset=params.illumination_offset,
    workers=snakemake.threads,
)
write_table(nuclei, snakemake.output.nuclei, describe(options, params.pixel_size_um, params.illumination))
write_table(quality, snakemake.output.quality)
