"""Embeddings and well profiles as AnnData, for scanpy and its relatives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import ConfigError
from campfire.core.files import read_table
from campfire.evaluation.profiles.normalise import normalise
from campfire.evaluation.well_means import well_means
from campfire.export.finished import FACTS, Embedded, Finished, new_folder, provenance

if TYPE_CHECKING:
    from anndata import AnnData

Form = Literal["h5ad", "zarr"]


def export(run: Finished, out: str | Path, encoder: str = "", channels: str = "", form: Form = "h5ad") -> list[Path]:
    """Write <out>/<encoder>/<channel set>/cells and wells (.h5ad or .zarr) for each evaluation; return their paths.

    encoder, channels: only these; by default every evaluation of the run. ConfigError where the run has none such or
    anndata is not installed, DataError where `out` is not empty.
    """
    chosen = run.chosen(encoder, channels)
    _library()
    written = []
    with new_folder(out) as folder:
        for pair in chosen:
            embedded = run.embedded(*pair)
            for name, table in (("cells", cells(run, embedded)), ("wells", wells(run, embedded))):
                path = Path(*pair, f"{name}.{form}")
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                if form == "zarr":
                    table.write_zarr(folder / path)
                else:
                    table.write_h5ad(folder / path)
                written.append(Path(out) / path)
    return written


def cells(run: Finished, embedded: Embedded) -> AnnData:
    """The embeddings of cells (N, D) as X, with `obs` from keys and split.

    `obsm["spatial"]` (N, 2) has x and y of the nuclei in px of their field where the run still has its table of nuclei.
    """
    table = _table(run, embedded, embedded.cells, names.CELL_KEYS, embedded.vectors)
    centres = _centres(run, embedded.cells)
    if centres is not None:
        table.obsm["spatial"] = centres
    return table


def wells(run: Finished, embedded: Embedded) -> AnnData:
    """Mean embeddings of wells (W, D) as X.

    Where every plate has two cells of the negative control or more, `layers["sphered"]` has the means of sphered cells,
    normalised by the controls as for the run's table of profiles but by all embedded cells, not the sampled ones.
    """
    own, means = well_means(embedded.cells, embedded.vectors)
    facts = embedded.cells.drop_duplicates(names.WELL_KEYS)[[*names.WELL_KEYS, *FACTS, "quadrant"]]
    own = own.merge(facts, on=names.WELL_KEYS, how="left", validate="one_to_one")
    table = _table(run, embedded, own, names.WELL_KEYS, means)
    controls = embedded.cells[names.COMPOUND].isin(run.negative_controls).to_numpy()
    counts = pd.Series(controls).groupby(embedded.cells[names.PLATE].to_numpy()).sum()
    if (counts >= 2).all():
        shrinkage = float(run.config["profiles"].get("shrinkage", 0.01))
        where = embedded.cells[names.WELL_KEYS]
        sphered = normalise(where, embedded.vectors, controls, "sphered", shrinkage)
        table.layers["sphered"] = well_means(where, sphered)[1]
    return table


def _table(
    run: Finished, embedded: Embedded, rows: pd.DataFrame, keys: list[str], values: NDArray[np.float32]
) -> AnnData:
    anndata = _library()
    obs = rows.reset_index(drop=True)
    obs.index = pd.Index(["/".join(key) for key in zip(*(obs[key].astype(str) for key in keys), strict=True)])
    obs[names.NUCLEUS if names.NUCLEUS in obs else "n_cells"] = obs[
        names.NUCLEUS if names.NUCLEUS in obs else "n_cells"
    ].astype(np.int32)
    for column in obs.columns.difference([names.NUCLEUS, "n_cells"]):
        obs[column] = obs[column].astype(str)
    var = pd.DataFrame({"dimension": np.arange(values.shape[1])}, index=pd.Index(embedded.dimensions))
    made_by = {key: _text(value) for key, value in embedded.made_by.items()}
    facts = {
        **provenance(run), "encoder": embedded.encoder, "channel_set": embedded.channels,
        "negative_controls": json.dumps(run.negative_controls), "embedding": made_by,
    }  # fmt: skip
    return anndata.AnnData(X=values, obs=obs, var=var, uns={"campfire": facts})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _centres(run: Finished, rows: pd.DataFrame) -> NDArray[np.float32] | None:
    """(N, 2) x and y in px of the field; None where the nuclei of a plate are not there, as in an unpacked bundle."""
    paths = [run.root / f"nuclei/{plate}.parquet" for plate in rows[names.PLATE].unique()]
    if not all(path.is_file() for path in paths):
        return None
    columns = [*names.CELL_KEYS, "x", "y"]
    nuclei = pd.concat([read_table(path, columns) for path in paths], ignore_index=True)
    joined = rows[names.CELL_KEYS].merge(nuclei, on=names.CELL_KEYS, how="left", validate="one_to_one")
    return np.asarray(joined[["x", "y"]].to_numpy(), dtype=np.float32)


def _library() -> Any:
    try:
        import anndata
    except ImportError as error:
        raise ConfigError(
            "campfire export anndata: the package anndata is not installed; run `make setup`, or `pip install anndata`"
        ) from error
    return anndata
