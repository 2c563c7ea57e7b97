"""Draw the contact sheet of one plate while its images are on disk: chosen sites with the outlines of their nuclei."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.images.nuclei import NucleiOptions, outline_sites
from campfire.report.figures.contact_sheet import (
    choose_sites,
    draw,
    plate_limits,
    save_picture,
    shown_channels,
    site_views,
)
from campfire.report.page.pictures import draw_pictures, save_pictures

params = snakemake.params
quality, nuclei = read_table(snakemake.input.quality), read_table(snakemake.input.nuclei)
chosen, options = choose_sites(quality), NucleiOptions(**params.nuclei, **params.machine)
light = {"illumination": params.illumination, "illumination_offset": params.illumination_offset}
outlined = list(
    outline_sites(
        snakemake.input.images, chosen, shown_channels(params.channels), params.pixel_size_um, options, **light
    )
)
views = site_views(chosen, outlined, nuclei, params.pixel_size_um)
save_picture(draw(snakemake.wildcards.plate, views), snakemake.output[0])

limits = plate_limits([site.images for site, _ in outlined])
pictures = draw_pictures(
    snakemake.input.images, quality, nuclei, chosen, limits, params.pixel_size_um, options.tile_size, **light
)
save_pictures(pictures, snakemake.output.sites, snakemake.output.cells, snakemake.output.pictures)
