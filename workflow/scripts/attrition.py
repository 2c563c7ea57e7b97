"""Count the sites and nuclei of each plate that were left out on the way to tiles, by reason."""

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire.core.columns import PLATE
from campfire.core.files import read_table, write_table
from campfire.images.attrition import count

tables = zip(snakemake.input.download, snakemake.input.quality, snakemake.input.nuclei, strict=True)
counts = [
    count(read_table(download), read_table(quality), read_table(nuclei, [PLATE, "reason"]))
    for download, quality, nuclei in tables
]
write_table(pd.concat(counts, ignore_index=True), snakemake.output[0])
