"""Fetch the images of one plate: only the wells that have a role and the channels that are needed, each verified."""

import os
from pathlib import Path

import job

log = job.start(snakemake)

import pandas as pd

from campfire.files import read_table, single_writer, write_json, write_table
from campfire.gallery import S3Options, connect, fetch_plate, plan_download, read_known_bad

place, plate = snakemake.params.place, snakemake.wildcards.plate
if snakemake.input.wells.endswith(".parquet"):
    wells = read_table(snakemake.input.wells)
    wells = wells[wells["split"] != "unused"]
else:
    wells = pd.read_csv(snakemake.input.wells, sep="\t", dtype=str, comment="#")
wells = wells.loc[wells["Metadata_Plate"] == plate, "Metadata_Well"].tolist()

options = S3Options(**snakemake.params.options)
client = connect(options)
plan, summary = plan_download(
    *(client, options, place["source"], place["batch"], plate, wells, snakemake.params.channels),
    illumination=snakemake.params.illumination == "gallery",
)
write_json(snakemake.output.plan, summary)

# What was fetched survives a killed job in this folder; the declared output appears only when it is whole.
state = Path(snakemake.params.state)
with single_writer(state):
    record = fetch_plate(client, plan, state, options, read_known_bad(snakemake.input.known_bad))
    write_table(record, snakemake.output.record, {"plan": summary})
    os.replace(state, snakemake.output.images)
