"""Assign wells to training and test, before any image is fetched."""

from campfire.runs import job

log = job.start(snakemake)

from campfire.screen.metadata import read_sheet, read_structures, read_wells
from campfire.screen.split import SplitOptions, make_split, wells_per_quadrant, write_plates, write_split

sheet = read_sheet(snakemake.input.sheet)
wells = read_wells(snakemake.input.wells, sheet)
compounds = snakemake.input.compounds
structures = read_structures(compounds) if compounds else None
split = make_split(sheet, wells, SplitOptions(**snakemake.params.options), structures)
log.info("%d wells of %d plates:\n%s", len(split.wells), len(sheet), wells_per_quadrant(split.wells).to_string())
write_split(snakemake.output.wells, split)
write_plates(snakemake.output.plates, split)
