"""Accuracies of every encoder, channel set, protocol and quadrant, with intervals over wells."""

import job

log = job.start(snakemake)

from campfire.report.tables.accuracies import build
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import save
from campfire.report.tables.sources import probe_results

options = TableOptions(**snakemake.params.options)
save(build(probe_results(snakemake.input), options), snakemake.output[0].removesuffix(".html"))
