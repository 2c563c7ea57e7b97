"""Fetch the images of one plate: only the wells that have a role and the channels that are needed, each verified."""

import os
from pathlib import Path

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import single_writer, write_json, write_table
from campfire.images.gallery import S3Options, fetch_plate, plan_download
from campfire.images.gallery.connect import connect

params, place, plate = snakemake.params, snakemake.params.place, snakemake.wildcards.plate
wells = params.wells or Path(snakemake.input.wells).read_text(encoding="utf-8").split()[1:]

options = S3Options(**params.source, **params.machine)
# Before any plate was fetched, an S3 that does not answer is rather a wrong address than an outage.
known = any(Path(snakemake.output.record).parent.glob("*.parquet"))
listing = options if known else options.changed(patience_s=0)
client = connect(options)
plan, summary = plan_download(
    *(client, listing, place["source"], place["batch"], plate, wells, params.channels),
    illumination=params.illumination == "gallery",
)
write_json(snakemake.output.plan, summary)

# Downloads of a killed job are kept in this folder; the declared output appears only when it is complete.
state = Path(snakemake.params.state)
with single_writer(state):
    record = fetch_plate(client, plan, state, options, params.known_bad, params.leave_out)
    write_table(record, snakemake.output.record, {"plan": summary})
    os.replace(state, snakemake.output.images)
