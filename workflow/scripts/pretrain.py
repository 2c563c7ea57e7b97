"""Pretrain one run, one process per GPU; a stopped job goes on from its newest checkpoint."""

import job

log = job.start(snakemake)

import sys
from pathlib import Path

from campfire.pretrain import PretrainOptions, launch

options = PretrainOptions(loader_threads=max(1, min(8, snakemake.threads // 4)), **snakemake.params.options)
processes = max(1, int(snakemake.resources.get("gpu", 0)))
out = Path(snakemake.output.model).parent
sys.exit(launch(options, snakemake.input.tiles, snakemake.input.wells, out, snakemake.params.state, processes))
