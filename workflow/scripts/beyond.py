"""Replicate retrieval and shares of variance, drawn."""

import job

log = job.start(snakemake)

import pandas as pd

from campfire.report.figures.beyond import draw, prepare
from campfire.report.figures.style import save

data = prepare(pd.read_csv(snakemake.input.profiles), pd.read_csv(snakemake.input.variance))
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
