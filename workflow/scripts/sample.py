"""Draw the cells of every probe before embedding, the same for all encoders and channel sets."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.columns import CELL_KEYS
from campfire.core.files import read_table, write_table
from campfire.evaluation.sampling import SampleOptions, draw_sample
from campfire.screen.leave_out import drop

params = snakemake.params
options = SampleOptions(protocols=params.protocols, **params.options)
wells = drop(read_table(snakemake.input.wells), params.leave_out)
nuclei = (drop(read_table(path, [*CELL_KEYS, "kept"]), params.leave_out) for path in snakemake.input.nuclei)
cells, saved = draw_sample(nuclei, wells, options, params.controls, params.negative_controls)
log.info("tiles that need no embedding:\n%s", saved.to_string(index=False))
write_table(cells, snakemake.output[0], {"saved": saved.to_dict("records")})
