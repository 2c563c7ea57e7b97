"""Quality of every plate, well by well, drawn as the plate lies."""

import job

log = job.start(snakemake)

from campfire.figures.plate_layout import draw, prepare
from campfire.figures.style import save
from campfire.files import read_table

for quality, figure in zip(snakemake.input, snakemake.params.figures, strict=True):
    data = prepare(read_table(quality))
    save(draw(data), data, figure)
