"""AnnData of a finished run, opened with anndata and used as scanpy and our own encoder kind use it."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from campfire import cli
from campfire.core import columns as names
from campfire.core.errors import ConfigError
from campfire.encoders import embedding_table, load_table
from campfire.evaluation.well_means import well_means
from campfire.export import annotated
from campfire.export.finished import Finished


@pytest.fixture(scope="module", params=["h5ad", "zarr"])
def exported(results: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Path]:
    out = tmp_path_factory.mktemp("out") / "anndata"
    assert cli.main(["export", "anndata", str(results), str(out), "--format", request.param]) == 0
    return [out / "campfire/DNA_AGP" / f"{name}.{request.param}" for name in ("cells", "wells")]


def opened(path: Path) -> anndata.AnnData:
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)


def test_each_cell_has_its_own_embedding_and_well(exported: list[Path], results: Path) -> None:
    cells = opened(exported[0])
    assert cells.shape == (24, 6) and cells.X.dtype == np.float32
    wells = pd.read_parquet(results / "split/wells.parquet").set_index(names.WELL_KEYS)
    for plate in ("P1", "P2"):
        keys, vectors = embedding_table.read(results / f"embeddings/campfire/DNA_AGP/{plate}.parquet")
        nuclei = pd.read_parquet(results / f"nuclei/{plate}.parquet").set_index(names.CELL_KEYS)
        for key, vector in zip(keys.itertuples(index=False, name=None), vectors, strict=True):
            cell = cells["/".join(map(str, key))]
            np.testing.assert_array_equal(np.asarray(cell.X).ravel(), vector)
            assert cell.obs["split"].item() == wells.loc[key[:2], "split"]
            assert cell.obs[names.COMPOUND].item() == wells.loc[key[:2], names.COMPOUND]
            np.testing.assert_allclose(cell.obsm["spatial"][0], nuclei.loc[key, ["x", "y"]].to_numpy(float), rtol=1e-6)


def test_scanpy_style_use(exported: list[Path]) -> None:
    """Selection by obs, layers, concatenation, a frame by name: the calls that scanpy's functions are made of."""
    cells, wells = map(opened, exported)
    held_out = cells[cells.obs["quadrant"] == "OOD compound + OOD plate"]
    assert held_out.n_obs == 4 and set(held_out.obs[names.COMPOUND]) == {"C2"}
    assert cells.to_df().loc["P1/A01/1/3", "campfire_0000"] == np.asarray(cells["P1/A01/1/3"].X)[0, 0]
    both = anndata.concat({"a": cells, "b": cells}, label="copy", index_unique="-")
    assert both.n_obs == 48 and list(both.var_names) == list(cells.var_names)
    wells.obsm["X_pca"] = np.linalg.svd(wells.X - wells.X.mean(axis=0), full_matrices=False)[0][:, :2]
    assert wells.copy().obsm["X_pca"].shape == (6, 2)


def test_wells_are_the_means_of_their_cells_and_the_controls_are_the_origin(exported: list[Path]) -> None:
    cells, wells = map(opened, exported)
    assert wells.n_obs == 6 and (wells.obs["n_cells"] == 4).all()
    expected, means = well_means(cells.obs[names.WELL_KEYS].astype(str), cells.X)
    np.testing.assert_array_equal(wells.X, means)
    assert list(wells.obs_names) == ["/".join(key) for key in expected[names.WELL_KEYS].to_numpy()]
    controls = wells[wells.obs[names.COMPOUND] == "DMSO"].layers["sphered"]
    np.testing.assert_allclose(controls, 0, atol=1e-5)


def test_provenance_travels_along(exported: list[Path]) -> None:
    facts = opened(exported[1]).uns["campfire"]
    assert facts["commit"].startswith("0123456789") and facts["embedding"]["weights"] == "ab" * 32
    assert json.loads(facts["config"])["split"]["seed"] == 10 and json.loads(facts["versions"])["torch"] == "2.6.0"


def test_the_encoder_kind_table_reads_the_cells(results: Path, tmp_path: Path) -> None:
    path, _ = annotated.export(Finished.read(results), tmp_path / "out")
    encoder = load_table({"kind": "table", "path": str(path)})
    keys = opened(path).obs[names.CELL_KEYS].query("Metadata_Plate == 'P2'").sample(frac=1, random_state=3)
    found, vectors, missing, _ = encoder.embed_cells(keys.reset_index(drop=True))
    assert not missing
    own = opened(path)["/".join(map(str, found.iloc[0]))].X
    np.testing.assert_array_equal(vectors[0], np.asarray(own).ravel())


def test_mistakes_are_explained(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="does not evaluate vit; it evaluates campfire on DNA_AGP"):
        annotated.export(Finished.read(results), tmp_path / "new", encoder="vit")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    assert cli.main(["export", "anndata", str(results), str(tmp_path / "full")]) == 1
    assert cli.main(["export", "anndata", str(tmp_path), str(tmp_path / "new")]) == 1
    told = capsys.readouterr().err
    assert "full: exists already" in told and "no such record of a finished run" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]
