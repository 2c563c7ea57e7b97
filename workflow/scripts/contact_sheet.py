"""Draw the contact sheet of one plate while its images are on disk: chosen sites with the outlines of their nuclei."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.images.nuclei import NucleiOptions, outline_sites
from campfire.report.figures.contact_sheet import choose_sites, draw, save_picture, shown_channels, site_views

params = snakemake.params
chosen = choose_sites(read_table(snakemake.input.quality))
outlined = outline_sites(
    snakemake.input.images,
    chosen,
    shown_channels(params.channels),
    params.pixel_size_um,
    NucleiOptions(**params.nuclei, **params.machine),
    illumination=params.illumination,
    illumination_offset=params.illumination_offset,
)
views = site_views(chosen, list(outlined), read_table(snakemake.input.nuclei), params.pixel_size_um)
save_picture(draw(snakemake.wildcards.plate, views), snakemake.output[0])
