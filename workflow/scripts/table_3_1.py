"""Table 3.1: encoders by compound-by-plate quadrant, beside the paper's values."""

import job

log = job.start(snakemake)

import pandas as pd

from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import save
from campfire.report.tables.table_3_1 import build

options = TableOptions(**snakemake.params.options)
given = snakemake.input
differences = pd.read_csv(given.differences) if given.differences else None
table = build(pd.read_csv(given.accuracies), options, differences)
save(table, snakemake.output[0].removesuffix(".html"))
