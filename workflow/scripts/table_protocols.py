"""The three protocols side by side."""

import job

log = job.start(snakemake)

import pandas as pd

from campfire.report.tables.options import TableOptions
from campfire.report.tables.protocols import build
from campfire.report.tables.render import save

options = TableOptions(**snakemake.params.options)
save(build(pd.read_csv(snakemake.input[0]), options), snakemake.output[0].removesuffix(".html"))
