"""Neighbours, well-level probes, replicate retrieval and shares of variance of one encoder and channel set."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table, write_table
from campfire.encoders import embedding_table as embeddings
from campfire.evaluation.probes.options import ProbeOptions
from campfire.evaluation.profiles import ProfileOptions, profile_summary
from campfire.report.tables.options import TableOptions
from campfire.screen.leave_out import drop

params = snakemake.params
probe = {name: value for name, value in params.probe.items() if name != "protocols"}
tables = TableOptions(**params.tables)
drawn = read_table(snakemake.input.cells)
sample = embeddings.leave_out_missing(drawn, snakemake.input.embeddings)
summary = profile_summary(
    *embeddings.read_plates(snakemake.input.embeddings, drawn),
    sample[sample["protocol"] == tables.protocol],
    ProfileOptions(**params.options),
    ProbeOptions(**probe),
    tables.bootstrap(),
    wells=drop(read_table(snakemake.input.wells), params.leave_out),
)
write_table(summary, snakemake.output[0])
