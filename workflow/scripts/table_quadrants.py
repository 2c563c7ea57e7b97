"""Plates, compounds and wells of each part of the split."""

import job

log = job.start(snakemake)

from campfire.files import read_table
from campfire.tables.quadrants import build
from campfire.tables.render import save

save(build(read_table(snakemake.input[0]), snakemake.params.protocol), snakemake.output[0].removesuffix(".html"))
