"""Price every leak of the evaluation on the embeddings of one encoder and channel set."""

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire.core.files import read_table, write_table
from campfire.encoders import embedding_table as embeddings
from campfire.evaluation.probes.leaks import leak_table
from campfire.evaluation.probes.options import ProbeOptions
from campfire.evaluation.probes.place import place_table
from campfire.report.tables.options import TableOptions

params = snakemake.params
options = ProbeOptions(**{name: value for name, value in params.options.items() if name != "protocols"})
sample = read_table(snakemake.input.cells)
sample = embeddings.leave_out_missing(sample, snakemake.input.embeddings)
drawn = set(sample["protocol"])
# The strict sample is drawn by well, as the layouts of every row can be; without it any protocol's cells will do.
chosen = next(name for name in ("strict", "paper", "release") if name in drawn)
keys, vectors = embeddings.read_plates(snakemake.input.embeddings)
tables = TableOptions(**params.tables)
bootstrap = tables.bootstrap()
sample = sample[sample["protocol"] == chosen]
prices = leak_table(keys, vectors, sample, options, bootstrap)
places = place_table(keys, vectors, sample, params.negative_control, options, tables.level)
prices = pd.concat([prices, places], ignore_index=True) if len(places) else prices
write_table(prices, snakemake.output[0], {"sample": chosen})
