"""Draw the cells of every well of the transfer screen, the same for all encoders."""

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire.core.columns import CELL_KEYS
from campfire.core.files import read_table, write_table
from campfire.evaluation.sampling import draw_wells
from campfire.evaluation.transfer.sheet import read_sheet
from campfire.screen.leave_out import drop

sheet = read_sheet(snakemake.input.sheet)
nuclei = pd.concat(
    [drop(read_table(path, [*CELL_KEYS, "kept"]), snakemake.params.leave_out) for path in snakemake.input.nuclei],
    ignore_index=True,
)
cells = draw_wells(nuclei, sheet, snakemake.params.cells_per_well, snakemake.params.seed)
log.info("%d cells of %d wells of %d plates", len(cells), len(sheet), len(snakemake.input.nuclei))
write_table(cells, snakemake.output[0])
