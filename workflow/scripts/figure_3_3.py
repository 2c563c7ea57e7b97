"""Figure 3.3: reconstructions of fixed tiles as training goes."""

import job

log = job.start(snakemake)

from campfire.report.figures.figure_3_3 import draw, prepare, read_snapshots
from campfire.report.figures.style import save

data = prepare(read_snapshots(snakemake.input[0]))
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
