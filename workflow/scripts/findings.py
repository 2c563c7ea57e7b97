"""Write all results as one page."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import write_text
from campfire.report.findings import build
from campfire.report.tables.inputs import Settings

settings = Settings.read(snakemake.params.settings)
write_text(snakemake.output[0], build(snakemake.input, settings.title, settings.options))
