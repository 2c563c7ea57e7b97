"""What each leak of an evaluation is worth, encoders side by side."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.files import read_table
from campfire.report.tables.leaks import build
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import save

prices = {Path(path).parent.name: read_table(path) for path in snakemake.input}
options = TableOptions(**snakemake.params.options)
save(build(prices, options), snakemake.output[0].removesuffix(".html"))
