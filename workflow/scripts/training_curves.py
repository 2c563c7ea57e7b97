"""Loss, learning rate and speed of the pretraining runs."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.core.files import read_table
from campfire.report.figures.style import save
from campfire.report.figures.training_curves import draw, prepare

runs = {Path(path).parent.name: read_table(path) for path in snakemake.input}
data = prepare(runs, snakemake.params.labels)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
