"""Pretrain one run or ablation trial, one process per GPU; a stopped job resumes from its newest checkpoint."""

from campfire.runs import job

log = job.start(snakemake)

import json
import sys
import time
from pathlib import Path

from campfire.training import EXIT_RESUMABLE, PretrainOptions, launch, machine_values
from campfire.training.launcher import requeue_job

params, resources, threads = snakemake.params, snakemake.resources, snakemake.threads
made = snakemake.input.get("options")  # an ablation trial's options are a file
options = json.loads(Path(made).read_text(encoding="utf-8")) if made else params.options
# Settings of the machine come from the config itself: as a parameter of the rule they would rerun the training.
machine = machine_values(snakemake.config["pretrain"]["runs"][params.run])
machine["loader_threads"] = max(1, min(8, threads // 4))
# On several nodes (resource `mpi`) there is one task per node, and `gpu` counts the GPUs of all of them.
nodes = int(resources.get("tasks", 1)) if resources.get("mpi") else 1
processes = max(1, int(resources.get("gpu", 0)) // nodes)
where = (Path(snakemake.output.model).parent, params.state, processes, nodes, threads)
if made:  # a trial that diverges ranks last; it does not hold up its stage
    machine["diverged"] = "finish"
run = PretrainOptions(**{**options, **machine})
inputs = (snakemake.input.tiles, snakemake.input.wells)
code = launch(run, *inputs, *where, tell=log.info, code=params.code, leave_out=params.leave_out)
if code == EXIT_RESUMABLE:
    log.info("stopped after a checkpoint; Slurm requeues the job, elsewhere Snakemake starts it again")
    if requeue_job():
        time.sleep(300)  # Slurm ends this job while we wait
if code:
    sys.exit(code)
