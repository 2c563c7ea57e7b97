"""The gap between in- and out-of-distribution plates of every encoder."""

import job

log = job.start(snakemake)

from campfire.tables.gaps import build
from campfire.tables.options import TableOptions
from campfire.tables.render import save
from campfire.tables.sources import probe_results

options = TableOptions(**snakemake.params.options)
save(build(probe_results(snakemake.input), options), snakemake.output[0].removesuffix(".html"))
