"""Join a table of embeddings made elsewhere to the cells of every plate and report mismatches."""

from pathlib import Path

from campfire.runs import job

log = job.start(snakemake)

import pandas as pd

from campfire import encoders
from campfire.core.columns import CELL_KEYS, PLATE
from campfire.core.files import read_table, write_text
from campfire.encoders import embedding_table as embeddings
from campfire.screen.leave_out import drop

params, (name, channels) = snakemake.params, (snakemake.wildcards.encoder, list(snakemake.params.channels))
table = encoders.load_table({"name": name, **params.spec})
drawn = read_table(snakemake.input.cells, CELL_KEYS).drop_duplicates()

matchings = []
for path, output in zip(snakemake.input.nuclei, snakemake.output.embeddings, strict=True):
    nuclei = read_table(path)
    nuclei = drop(nuclei.loc[nuclei["kept"], [*CELL_KEYS, "y", "x"]], params.leave_out)
    cells = nuclei if params.cells == "all" else drawn[drawn[PLATE] == Path(output).stem].merge(nuclei, on=CELL_KEYS)
    keys, vectors, missing, matching = table.embed_cells(cells)
    facts = {"encoder": name, "channels": channels, "weights": table.digest, "level": table.table.level}
    embeddings.write(output, keys, vectors, {**facts, "missing": missing})
    matchings.append(matching.row())
write_text(snakemake.output.matching, pd.DataFrame(matchings).to_csv(sep="\t", index=False))
