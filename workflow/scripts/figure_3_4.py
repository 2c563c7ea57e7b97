"""Figure 3.4: accuracy by channels."""

import job

log = job.start(snakemake)

import pandas as pd

from campfire.report.figures.figure_3_4 import draw, prepare
from campfire.report.figures.style import save

params = snakemake.params
data = prepare(
    pd.read_csv(snakemake.input[0]),
    params.encoder,
    params.options["protocol"],
    params.options["id_channels"],
    params.channel_sets,
)
save(draw(data), data, snakemake.output[0].removesuffix(".svg"))
