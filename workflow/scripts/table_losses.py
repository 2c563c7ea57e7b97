"""How many sites and nuclei were left out on the way to tiles, and why."""

import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.report.tables.losses import build
from campfire.report.tables.render import save

save(build(read_table(snakemake.input[0])), snakemake.output[0].removesuffix(".html"))
