"""Z' of every pair of control groups of the transfer screen, plain and robust, with bootstrap intervals."""

import job

log = job.start(snakemake)

from campfire.files import read_table, write_table
from campfire.transfer.options import TransferOptions
from campfire.transfer.wells import control_zprime

pairs = control_zprime(read_table(snakemake.input[0]), TransferOptions(**snakemake.params.options))
write_table(pairs, snakemake.output[0])
