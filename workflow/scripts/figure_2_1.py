"""Figure 2.1: the split as it was drawn."""

import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.report.figures.figure_2_1 import draw, prepare
from campfire.report.figures.style import save

data = prepare(read_table(snakemake.input[0]), snakemake.params.controls, snakemake.params.plate_type)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
