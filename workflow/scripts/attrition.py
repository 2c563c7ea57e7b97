"""Count the sites and nuclei of each plate that were left out on the way to tiles, by reason."""

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire.core.columns import PLATE, SITE_KEYS
from campfire.core.files import read_table, write_table
from campfire.core.text import some
from campfire.images.attrition import count, count_plates
from campfire.screen.leave_out import of_plates, unmatched

tables = zip(snakemake.input.download, snakemake.input.quality, snakemake.input.nuclei, strict=True)
leave_out, counts, unknown = snakemake.params.leave_out, [count_plates(snakemake.params.leave_out)], []
for download, quality, nuclei in tables:
    objects, sites, cells = read_table(download), read_table(quality), read_table(nuclei, [*SITE_KEYS, "reason"])
    own = of_plates(leave_out, objects[PLATE].unique())
    unknown += unmatched(own, [objects])
    counts.append(count(objects, sites, cells, own))
if unknown:
    log.warning("leave_out: %s: no such well or site was requested; correct the config", some(unknown, 5))
write_table(pd.concat(counts, ignore_index=True), snakemake.output[0])
