"""Z' of every pair of groups of the transfer screen, encoders side by side."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.files import read_table
from campfire.tables.options import TableOptions
from campfire.tables.render import save
from campfire.tables.transfer import build

options = TableOptions(**snakemake.params.options)
pairs = {Path(path).parent.name: read_table(path) for path in snakemake.input}
save(build(pairs, options), snakemake.output[0].removesuffix(".html"))
