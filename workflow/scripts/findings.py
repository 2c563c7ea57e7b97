"""All results as one page to read."""

import job

log = job.start(snakemake)

from campfire.files import write_text
from campfire.tables.findings import build
from campfire.tables.options import TableOptions

options = TableOptions(**snakemake.params.options)
write_text(snakemake.output[0], build(snakemake.input, snakemake.params.title, options))
