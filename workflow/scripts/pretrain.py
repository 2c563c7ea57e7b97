"""Pretrain one run, one process per GPU; a stopped job goes on from its newest checkpoint."""

import job

log = job.start(snakemake)

import sys
import time
from pathlib import Path

from campfire.pretrain import EXIT_RESUMABLE, PretrainOptions, launch
from campfire.pretrain.launcher import requeue_job

resources, threads = snakemake.resources, snakemake.threads
options = PretrainOptions(loader_threads=max(1, min(8, threads // 4)), **snakemake.params.options)
# On several nodes (resource `mpi`) there is one task per node, and `gpu` counts the GPUs of all of them.
nodes = int(resources.get("tasks", 1)) if resources.get("mpi") else 1
processes = max(1, int(resources.get("gpu", 0)) // nodes)
out = Path(snakemake.output.model).parent
where = (out, snakemake.params.state, processes, nodes, threads)
code = launch(options, snakemake.input.tiles, snakemake.input.wells, *where)
if code == EXIT_RESUMABLE and requeue_job():
    log.info("stopped after a checkpoint; Slurm has put the job back into its queue, to go on from there")
    time.sleep(300)  # Slurm ends this job while we wait
sys.exit(code)
