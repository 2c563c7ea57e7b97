"""One table of the report: built by the function that the catalogue names, written as html, csv, md, tex and json."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.report.tables.inputs import Settings, function, stem
from campfire.report.tables.render import save

make = function(snakemake.params.make)
table = make(dict(snakemake.input.items()), Settings.read(snakemake.params.settings))
save(table, stem(snakemake.output[0]))
