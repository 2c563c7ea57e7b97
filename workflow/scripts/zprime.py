"""Z' of every pair of control groups of the transfer screen, plain and robust, with bootstrap intervals."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table, write_table
from campfire.evaluation.transfer.options import TransferOptions
from campfire.evaluation.transfer.wells import control_zprime

pairs = control_zprime(read_table(snakemake.input[0]), TransferOptions(**snakemake.params.options))
write_table(pairs, snakemake.output[0])
