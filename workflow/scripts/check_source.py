"""Look at a few objects of one plate of each batch before a run, and report what differs from the config."""

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire.core.columns import BATCH, PLATE, SOURCE
from campfire.core.files import read_table, write_text
from campfire.images.gallery import S3Options, check_source, differing, render_check
from campfire.images.gallery.connect import connect
from campfire.screen.split import wells_by_plate

params = snakemake.params
options = S3Options(**params.options).changed(patience_s=0)  # asked once, by a person who waits
split = snakemake.input.wells
wells = params.wells if not split else wells_by_plate(read_table(split))
client = connect(options)
checked = [
    check_source(
        client,
        options,
        pd.DataFrame(group["plates"]).rename(columns={"source": SOURCE, "batch": BATCH, "plate": PLATE}),
        group["channels"],
        illumination=params.illumination == "gallery",
        pixel_size_um=group["pixel_size_um"],
        wells=wells,
    )
    for group in params.groups
]
table = pd.concat(checked, ignore_index=True)
text = render_check(table)
log.info("what the source holds:\n%s", text)
for line in differing(table):
    log.warning("not as sheet and config say: %s", line)
write_text(snakemake.output.table, text)
