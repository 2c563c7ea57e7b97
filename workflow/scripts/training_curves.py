"""Loss, learning rate and speed of the pretraining runs."""

import job

log = job.start(snakemake)

from pathlib import Path

from campfire.figures.style import save
from campfire.figures.training_curves import draw, prepare
from campfire.files import read_table

runs = {Path(path).parent.name: read_table(path) for path in snakemake.input}
data = prepare(runs, snakemake.params.labels)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
