"""Mean frozen embedding of every well of the transfer screen, without a head."""

import job

log = job.start(snakemake)

import numpy as np
import pandas as pd

from campfire import embeddings
from campfire.files import write_table
from campfire.transfer.sheet import read_sheet
from campfire.transfer.wells import embed_wells

parts = [embeddings.read(path) for path in snakemake.input.embeddings]
keys = pd.concat([part[0] for part in parts], ignore_index=True)
vectors = np.concatenate([part[1] for part in parts])
wells = embed_wells(None, keys, vectors, read_sheet(snakemake.input.sheet))
log.info("%d cells of %d wells", len(keys), len(wells))
write_table(wells, snakemake.output.wells)
