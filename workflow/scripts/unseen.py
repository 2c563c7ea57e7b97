"""What the model of a pretraining run fills in on unseen wells and channels, and what an embedding depends on."""

from campfire.runs import job

log = job.start(snakemake)

import numpy as np
import torch

from campfire.core.files import atomic_path, read_table
from campfire.training.unseen import look

torch.set_num_threads(snakemake.threads)
given = snakemake.input
arrays = look(given.weights, given.tiles[0], read_table(given.wells), snakemake.params.sets)
with atomic_path(snakemake.output[0]) as partial:
    np.savez(partial, **arrays)
