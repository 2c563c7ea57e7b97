"""Plates, compounds and wells of each part of the split."""

import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.report.tables.quadrants import build
from campfire.report.tables.render import save

save(build(read_table(snakemake.input[0]), snakemake.params.protocol), snakemake.output[0].removesuffix(".html"))
