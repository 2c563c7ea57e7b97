"""One figure of the report, or each of a family, drawn by the function that the catalogue names."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.report.figures.style import save
from campfire.report.tables.inputs import Settings, function, stem

make, settings = function(snakemake.params.make), Settings.read(snakemake.params.settings)
for files, path in snakemake.params.get("family") or [(dict(snakemake.input.items()), snakemake.output[0])]:
    drawn = make(files, settings)
    save(drawn.figure, drawn.data, stem(path))
