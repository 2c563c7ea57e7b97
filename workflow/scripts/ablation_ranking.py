"""Rank the finished trials of a stage by validation loss and reconstruction error."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import write_table
from campfire.training.ablation import best_trial, rank

metrics = dict(zip(snakemake.params.trials, snakemake.input, strict=True))
ranking = rank(snakemake.wildcards.stage, snakemake.params.tables, metrics)
write_table(ranking, snakemake.output[0])
log.info("trial %d is the best of %d", best_trial(ranking), len(ranking))
