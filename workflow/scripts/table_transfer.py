"""Z' of every pair of groups of the transfer screen, encoders side by side."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.files import read_table
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import save
from campfire.report.tables.transfer import build

options = TableOptions(**snakemake.params.options)
pairs = {Path(path).parent.name: read_table(path) for path in snakemake.input}
save(build(pairs, options), snakemake.output[0].removesuffix(".html"))
