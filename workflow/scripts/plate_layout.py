"""Quality of one plate, well by well, drawn as the plate lies."""

import job

log = job.start(snakemake)

from campfire.figures.plate_layout import draw, prepare
from campfire.figures.style import save
from campfire.files import read_table

data = prepare(read_table(snakemake.input[0]))
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
