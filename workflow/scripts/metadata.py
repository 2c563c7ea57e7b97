"""Fetch one of JUMP's metadata tables and verify it."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.screen.metadata import fetch

source = snakemake.params.source
fetch(source["address"], snakemake.output[0], source.get("sha256"))
