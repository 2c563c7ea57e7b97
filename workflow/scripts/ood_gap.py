"""The gap between in- and out-of-distribution plates, drawn."""

import job

log = job.start(snakemake)

import pandas as pd

from campfire.report.figures.ood_gap import draw, prepare
from campfire.report.figures.style import save

options = snakemake.params.options
data = prepare(pd.read_csv(snakemake.input[0]), options["id_channels"], options["protocol"])
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
