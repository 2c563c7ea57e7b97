"""The options of one ablation trial: its row upon the best trial of every stage before."""

from pathlib import Path

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table, write_json
from campfire.training.ablation import PAPER_CHOICE, STAGES, AblationOptions, best_trial, trial_options

study, stage = AblationOptions(**snakemake.params.study), snakemake.wildcards.stage
best = {Path(ranking).parent.name: best_trial(read_table(ranking)) for ranking in snakemake.input}
for earlier in STAGES[: STAGES.index(stage)]:
    found = f"trial {best[earlier]}, its best" if earlier in best else f"trial {PAPER_CHOICE[earlier]}: it was not run"
    log.info("%s is taken from %s", earlier, found)
trial = int(snakemake.wildcards.trial.removeprefix("trial_"))
write_json(snakemake.output[0], trial_options(stage, trial, snakemake.params.base, study, best))
