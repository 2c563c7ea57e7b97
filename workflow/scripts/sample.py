"""Draw the cells of every probe before embedding, the same for all encoders and channel sets."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.core.files import read_table, write_table
from campfire.evaluation.sampling import SampleOptions, draw_sample

params = snakemake.params
options = SampleOptions(protocols=params.protocols, **params.options)
cells, saved = draw_sample(
    snakemake.input.nuclei, read_table(snakemake.input.wells), options, params.controls, params.negative_controls
)
log.info("tiles that need no embedding:\n%s", saved.to_string(index=False))
write_table(cells, snakemake.output[0], {"saved": saved.to_dict("records")})
