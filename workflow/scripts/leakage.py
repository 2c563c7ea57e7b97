"""Quantify each source of leakage on the embeddings of one encoder and channel set."""

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire.core.files import read_table, write_table
from campfire.encoders import embedding_table as embeddings
from campfire.evaluation.probes.leakage import leakage_table
from campfire.evaluation.probes.options import ProbeOptions
from campfire.evaluation.probes.well_position import well_position_table
from campfire.report.tables.options import TableOptions

params = snakemake.params
options = ProbeOptions(**{name: value for name, value in params.options.items() if name != "protocols"})
sample = read_table(snakemake.input.cells)
sample = embeddings.leave_out_missing(sample, snakemake.input.embeddings)
drawn = set(sample["protocol"])
# The strict sample is drawn by well, as every row's layout requires; without it the cells of any protocol serve.
chosen = next(name for name in ("strict", "paper", "release") if name in drawn)
keys, vectors = embeddings.read_plates(snakemake.input.embeddings, sample)
tables = TableOptions(**params.tables)
bootstrap = tables.bootstrap()
sample = sample[sample["protocol"] == chosen]
effects = leakage_table(keys, vectors, sample, options, bootstrap)
positions = well_position_table(keys, vectors, sample, params.negative_control, options, tables.level)
effects = pd.concat([effects, positions], ignore_index=True) if len(positions) else effects
write_table(effects, snakemake.output[0], {"sample": chosen})
