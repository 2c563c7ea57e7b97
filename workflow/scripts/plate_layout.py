"""Quality of every plate, well by well, drawn as the plate lies."""

import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.report.figures.plate_layout import draw, prepare
from campfire.report.figures.style import save

for quality, figure in zip(snakemake.input, snakemake.params.figures, strict=True):
    data = prepare(read_table(quality))
    save(draw(data), data, figure)
