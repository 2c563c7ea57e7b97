"""One of Tables 2.3 to 2.5: the paper's rows with the loss, error and rank of the trials that were run."""

import job

log = job.start(snakemake)

from campfire.core.files import read_table
from campfire.report.tables.ablation import build
from campfire.report.tables.render import save
from campfire.training.ablation import read_stage

stage = snakemake.wildcards.stage
table = build(stage, read_stage(stage, snakemake.params.tables), read_table(snakemake.input[0]))
save(table, snakemake.output[0].removesuffix(".html"))
