"""Evaluations beyond the linear probe, and shares of variance, encoders side by side: two tables."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.files import read_table
from campfire.report.tables.options import TableOptions
from campfire.report.tables.profiles import build, build_variance
from campfire.report.tables.render import save

summaries = {Path(path).parent.name: read_table(path) for path in snakemake.input}
options = TableOptions(**snakemake.params.options)
for path, make in ((snakemake.output.profiles, build), (snakemake.output.variance, build_variance)):
    save(make(summaries, options), path[0].removesuffix(".html"))
