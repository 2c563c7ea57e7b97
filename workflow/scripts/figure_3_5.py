"""Figure 3.5: Z' maps of the transfer screen."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.files import read_table
from campfire.report.figures.figure_3_5 import draw, prepare
from campfire.report.figures.style import save

pairs = {Path(path).parent.name: read_table(path) for path in snakemake.input}
data = prepare(pairs, snakemake.params.labels)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
