"""Record the provenance of the results: versions, commit, config, hardware, seeds, checksums of tables."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import write_json
from campfire.runs.provenance_file import facts

params = snakemake.params
write_json(snakemake.output[0], facts(snakemake.config["results"], params.config, params.stages, snakemake.input))
