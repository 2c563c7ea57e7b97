"""Mean frozen embedding of every well of the transfer screen, without a head."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import write_table
from campfire.encoders import embedding_table as embeddings
from campfire.evaluation.transfer.sheet import read_sheet
from campfire.evaluation.transfer.wells import embed_wells

keys, vectors = embeddings.read_plates(snakemake.input.embeddings)
wells = embed_wells(None, keys, vectors, read_sheet(snakemake.input.sheet))
log.info("%d cells of %d wells", len(keys), len(wells))
write_table(wells, snakemake.output.wells)
