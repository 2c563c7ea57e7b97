"""Embed cells of every plate with one encoder on one channel set; finished plates are kept."""

from pathlib import Path

from campfire.runs import job

log = job.start(snakemake)

import torch

from campfire import encoders
from campfire.core.columns import CELL_KEYS, PLATE
from campfire.core.digests import file_sha256, value_digest
from campfire.core.files import link_or_copy, read_table, read_table_metadata, single_writer
from campfire.encoders import embedding_table as embeddings
from campfire.encoders.base import MaskingEncoder
from campfire.encoders.embed import check_alone, check_widths, embed_plate, find_rows
from campfire.images.tiles import open_plate
from campfire.screen.leave_out import drop

torch.set_num_threads(snakemake.threads)
params, (name, channels) = snakemake.params, (snakemake.wildcards.encoder, list(snakemake.params.channels))
spec = {"name": name, **params.spec}
if spec["kind"] == "features":
    spec["workers"] = snakemake.threads
encoder = encoders.load(spec)
drawn = read_table(snakemake.input.cells, CELL_KEYS).drop_duplicates()
state = Path(params.state)
# A plate is embedded with the channels that it has.
present = {Path(path).stem: list(channels) for path in snakemake.output}
present |= {plate: [c for c in channels if c not in absent] for plate, absent in params.lacking.items()}
check_widths(encoder, present)

finished: list[tuple[Path, str]] = []
nuclei = list(snakemake.input.nuclei) or [None] * len(snakemake.output)
for tiles, fields, output in zip(snakemake.input.tiles, nuclei, snakemake.output, strict=True):
    plate = Path(output).stem
    here = present[plate]
    store = open_plate(tiles)
    cells = drop(store.index, params.leave_out) if params.cells == "all" else drawn[drawn[PLATE] == plate]
    cells = cells[CELL_KEYS].reset_index(drop=True)
    made_by = [params.code, encoder.digest, here, *([file_sha256(fields)] if fields else [])]
    made_of = value_digest([*made_by, store.metadata["digest"], cells.to_numpy().tolist()])
    kept = state / f"{plate}.parquet"
    if kept.is_file() and read_table_metadata(kept).get("made_of") == made_of:
        log.info("%s: %d cells embedded before", plate, len(cells))
    else:
        with single_writer(kept):
            store.check(find_rows(store, cells).tolist())  # opening compares a few tiles; here each that is used
            seen = (
                encoder.masked(store, read_table(fields)) if isinstance(encoder, MaskingEncoder) and fields else store
            )
            if spec["kind"] == "python" and not finished:
                check_alone(encoder, seen, cells, here)
            keys, vectors = embed_plate(encoder, seen, cells, here, **params.machine)
            facts = {"encoder": name, "channels": here, "weights": encoder.digest, "made_of": made_of}
            facts |= {name: getattr(encoder, name) for name in ("pooling", "normalisation") if hasattr(encoder, name)}
            embeddings.write(kept, keys, vectors, facts)
    finished.append((kept, output))

for kept, output in finished:
    link_or_copy(kept, output)
