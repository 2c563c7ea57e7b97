"""Which control compounds are taken for which by the probes of the leading encoder, drawn."""

import job

log = job.start(snakemake)

from campfire.figures.confusion import draw, prepare
from campfire.figures.style import save
from campfire.files import read_table

data = prepare(read_table(snakemake.input[0]), snakemake.params.protocol)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
