"""Which control compounds are taken for which by the probes of the leading encoder, drawn."""

import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.report.figures.confusion import draw, prepare
from campfire.report.figures.style import save

data = prepare(read_table(snakemake.input[0]), snakemake.params.protocol)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
