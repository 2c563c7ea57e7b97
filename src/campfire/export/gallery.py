"""Embeddings and profiles in the Cell Painting Gallery's layout for deep-learning results.

    <out>/<source>/workspace_dl/embeddings/<model>/<batch>/<plate>/<well>-<site>/embedding.parquet
                                profiles/<model>/<batch>/<plate>/<plate>.parquet
                                collated/<model>/collated.parquet
                                consensus/<model>/consensus.parquet

<model> is <network>_<dataset>_<hash> as in the gallery's documentation (data_structure.md); <out> stands for its
folder of a project. The layout does not name columns: keys are `Metadata_*`, a dimension is a float32 column.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import ConfigError
from campfire.core.files import write_table, write_text
from campfire.evaluation.well_means import well_means
from campfire.export.finished import Embedded, Finished, new_folder

CELL = [names.SOURCE, names.BATCH, *names.CELL_KEYS, names.COMPOUND]
WELL = [names.SOURCE, names.BATCH, *names.WELL_KEYS, names.COMPOUND, names.PLATE_TYPE]
HASH_DIGITS = 7


def export(run: Finished, out: str | Path, dataset: str, encoder: str = "", channels: str = "") -> list[Path]:
    """Write the evaluations of a run to the new folder `out`; return the folders of models, one per source.

    dataset: the name of the data that the network was trained on, the middle part of the model's name. encoder,
    channels: only these. ConfigError for a name that is not of letters, digits, `-` and `.`.
    """
    if not re.fullmatch(r"[A-Za-z0-9.-]+", dataset):
        raise ConfigError(
            f"--dataset {dataset!r}: use letters, digits, - and . only; it becomes a part of folder names"
        )
    written = []
    with new_folder(out) as folder:
        for pair in run.chosen(encoder, channels):
            embedded = run.embedded(*pair)
            model = model_name(embedded, dataset)
            for source, rows in embedded.cells.groupby(names.SOURCE, sort=True).indices.items():
                base = Path(str(source), "workspace_dl")
                part = Embedded(
                    *pair, embedded.cells.iloc[rows].reset_index(drop=True), embedded.vectors[rows], embedded.made_by
                )
                _write_source(folder / base, model, part)
                write_text(_made(folder / base / "embeddings" / model / "README.md"), _readme(run, part, model))
                written.append(Path(out) / base / "embeddings" / model)
    return written


def model_name(embedded: Embedded, dataset: str) -> str:
    """<network>_<dataset>_<hash>; the network includes the channel set, on which the embeddings depend."""
    network = f"{embedded.encoder}-{embedded.channels}".replace("_", "-")
    return f"{network}_{dataset}_{str(embedded.made_by['weights'])[:HASH_DIGITS]}"


def _write_source(base: Path, model: str, part: Embedded) -> None:
    cells, dimensions = part.cells, part.dimensions
    site_keys = [names.BATCH, *names.SITE_KEYS]
    # Converted once: for the wide rows of each of thousands of sites that would take longer than to write them.
    table = pa.Table.from_pandas(_table(cells[CELL], part.vectors, dimensions), preserve_index=False)
    for rows in cells.groupby(site_keys, sort=True).indices.values():
        batch, plate, well, site = cells.iloc[rows[0]][site_keys].astype(str)
        place = base / "embeddings" / model / batch / plate / f"{well}-{site}" / "embedding.parquet"
        write_table(table.take(rows), _made(place))
    own, means = well_means(cells, part.vectors)
    facts = cells.drop_duplicates(names.WELL_KEYS)[WELL]
    own = own.merge(facts, on=names.WELL_KEYS, how="left", validate="one_to_one")
    wells = _table(own[WELL].assign(Metadata_Cells=own["n_cells"].to_numpy()), means, dimensions)
    for _, profiles in wells.groupby([names.BATCH, names.PLATE], sort=True):
        batch, plate = profiles.iloc[0][[names.BATCH, names.PLATE]].astype(str)
        place = base / "profiles" / model / batch / plate / f"{plate}.parquet"
        write_table(profiles.reset_index(drop=True), _made(place))
    write_table(wells, _made(base / "collated" / model / "collated.parquet"))
    treated = wells.groupby(names.COMPOUND, sort=True)
    consensus = treated[dimensions].median().astype(np.float32)
    consensus.insert(0, "Metadata_Wells", treated.size())
    write_table(consensus.reset_index(), _made(base / "consensus" / model / "consensus.parquet"))


def _table(keys: pd.DataFrame, values: NDArray[np.float32], dimensions: list[str]) -> pd.DataFrame:
    return pd.concat([keys.reset_index(drop=True), pd.DataFrame(values, columns=dimensions)], axis=1)


def _readme(run: Finished, part: Embedded, model: str) -> str:
    made = part.made_by
    return (
        f"# {model}\n\n"
        f"Embeddings of single nuclei by the encoder `{part.encoder}` on {', '.join(made.get('channels', []))}.\n\n"
        f"- digest of the weights: `{made['weights']}`\n- made by campfire at commit `{run.record['commit']}`\n"
        "- `profiles` and `collated` are means over the cells of a well, not normalised; `consensus` is the median "
        "over the wells of a compound.\n- `Metadata_Nucleus` is the label of the nucleus in its site.\n"
    )


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
