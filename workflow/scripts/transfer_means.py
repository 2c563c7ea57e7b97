"""Mean frozen embedding of every well of the transfer screen, without a head."""

import job

log = job.start(snakemake)

from campfire import embeddings
from campfire.files import write_table
from campfire.transfer.sheet import read_sheet
from campfire.transfer.wells import embed_wells

keys, vectors = embeddings.read_plates(snakemake.input.embeddings)
wells = embed_wells(None, keys, vectors, read_sheet(snakemake.input.sheet))
log.info("%d cells of %d wells", len(keys), len(wells))
write_table(wells, snakemake.output.wells)
