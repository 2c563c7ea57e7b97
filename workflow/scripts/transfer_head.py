"""Train the head of the transfer screen on frozen embeddings and apply it to every well."""

from campfire.runs import job

log = job.start(snakemake)

import shutil

import torch

from campfire.core.files import single_writer, write_table
from campfire.encoders import embedding_table as embeddings
from campfire.evaluation.transfer.head import save_head
from campfire.evaluation.transfer.options import TransferOptions
from campfire.evaluation.transfer.sheet import read_sheet
from campfire.evaluation.transfer.training import train_head
from campfire.evaluation.transfer.wells import embed_wells

torch.set_num_threads(snakemake.threads)
sheet = read_sheet(snakemake.input.sheet)
keys, vectors = embeddings.read_plates(snakemake.input.embeddings)
params = snakemake.params
options, state = TransferOptions(**params.options, **params.machine), params.state
with single_writer(state):
    head = train_head(keys, vectors, sheet, options, state, code=params.code)
save_head(head, snakemake.output.head)
write_table(embed_wells(head, keys, vectors, sheet), snakemake.output.wells)
# Only needed by a killed run: the finished head is in its file.
shutil.rmtree(state, ignore_errors=True)
