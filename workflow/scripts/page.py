"""Write the page to browse and the details of every plate beside it."""

from pathlib import Path

from campfire.runs import job

log = job.start(snakemake)

from campfire.evaluation.transfer.sheet import read_sheet
from campfire.report.page.data import PlateFiles, read_roles
from campfire.report.page.write import write_page
from campfire.report.tables.inputs import Settings

params, settings = snakemake.params, Settings.read(snakemake.params.settings)
page = Path(snakemake.output[0])
transfer = read_sheet(params.transfer) if params.transfer else None
write_page(
    page,
    [PlateFiles(facts, **files) for facts, files in params.plates],
    read_roles(snakemake.input.get("wells", ""), transfer),
    [path for path in snakemake.input if "/page/" not in path],
    settings.options,
    settings.title,
    lambda plate: page.parent / "plates" / f"{plate}.js",
)
