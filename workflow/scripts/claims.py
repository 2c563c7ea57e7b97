"""The claims of the evaluation as paired differences with intervals, drawn."""

import job

log = job.start(snakemake)

import pandas as pd

from campfire.report.figures.claims import draw, prepare
from campfire.report.figures.style import save

data = prepare(pd.read_csv(snakemake.input[0]))
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
