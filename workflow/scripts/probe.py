"""Train and score the linear probes of one encoder and channel set, under every protocol."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table, write_table
from campfire.encoders import embedding_table as embeddings
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.probes.options import ProbeOptions

options = dict(snakemake.params.options)
drawn = read_table(snakemake.input.cells)
sample = drawn[drawn["protocol"].isin(options.pop("protocols"))]
sample = embeddings.leave_out_missing(sample, snakemake.input.embeddings)
keys, vectors = embeddings.read_plates(snakemake.input.embeddings, drawn)
scores, predictions = evaluate(keys, vectors, sample, ProbeOptions(threads=snakemake.threads, **options))
write_table(scores, snakemake.output.scores)
write_table(predictions, snakemake.output.predictions)
