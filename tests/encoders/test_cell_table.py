"""Embeddings made elsewhere: parquet, CSV and AnnData, joined by key or by nearest centre."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import CELL_KEYS, NUCLEUS, PLATE, SITE, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import write_table
from campfire.encoders import embedding_table, load_table

WIDTH = 4


@pytest.fixture
def cells() -> pd.DataFrame:
    """Sixty cells of one plate, at least 12 px apart within a site."""
    generator = np.random.default_rng(3)
    rows = []
    for well in ("A01", "B12"):
        for site in ("1", "2"):
            grid = np.stack(np.meshgrid(range(60, 900, 60), range(60, 900, 60)), -1).reshape(-1, 2)
            chosen = grid[generator.permutation(len(grid))[:15]] + generator.uniform(-5, 5, (15, 2))
            rows += [("P1", well, site, n + 1, y, x) for n, (y, x) in enumerate(chosen)]
    table = pd.DataFrame(rows, columns=[*CELL_KEYS, "y", "x"])
    return table.astype({NUCLEUS: "int32", "y": "float32", "x": "float32"})


def vectors(cells: pd.DataFrame) -> np.ndarray[Any, Any]:
    """A different embedding of every cell, told by its place."""
    return np.stack([cells["y"], cells["x"], cells[NUCLEUS], cells["y"] * 0 + 1], axis=1).astype(np.float32)


def outside(cells: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The table as somebody else writes it: own names and order, centres of another segmentation."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(vectors(cells), columns=[f"f{i}" for i in range(WIDTH)])
    table["barcode"], table["Well"] = "P1", cells[WELL].str.replace("0", "").to_numpy()
    table["Field"] = cells[SITE].astype(int).to_numpy()
    table["Nuclei_Location_Center_Y"] = (cells["y"] + generator.uniform(-3, 3, len(cells))).to_numpy()
    table["Nuclei_Location_Center_X"] = (cells["x"] + generator.uniform(-3, 3, len(cells))).to_numpy()
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def check(found: tuple[Any, ...], cells: pd.DataFrame, missing: int = 0) -> None:
    keys, embedded, lost, matching = found
    assert len(keys) == len(embedded) == len(cells) - missing
    assert len(lost) == matching.missing == missing
    expected = cells.merge(keys, on=CELL_KEYS)
    np.testing.assert_array_equal(embedded, vectors(expected))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz", "tsv"])
def test_cells_are_found_by_their_centres(cells: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table.{suffix}"
    table = outside(cells)
    if suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    encoder = load_table({"kind": "table", "name": "theirs", "path": str(path), "features": "f"})
    assert encoder.dim(["DNA"]) == WIDTH
    check(encoder.embed_cells(cells), cells)
    assert encoder.embed_cells(cells)[3].joined_by == "centre"
    assert 0 < encoder.embed_cells(cells)[3].distance < 4.3


def test_cells_that_the_table_lacks_are_told_and_left_out(cells: pd.DataFrame, tmp_path: Path) -> None:
    lacking = outside(cells).iloc[3:]
    lacking.to_parquet(tmp_path / "table.parquet")
    encoder = load_table({"kind": "table", "path": str(tmp_path / "table.parquet"), "features": "f"})
    found = encoder.embed_cells(cells)
    check(found, cells, missing=3)
    # Rows of the table beyond the sample are counted.
    assert encoder.embed_cells(cells.iloc[:20])[3].unused >= 37
    keys, embedded, missing, _ = found
    embedding_table.write(tmp_path / "P1.parquet", keys, embedded, {"missing": missing})
    sample = pd.concat([cells[CELL_KEYS].assign(protocol=p) for p in ("release", "strict")], ignore_index=True)
    left = embedding_table.leave_out_missing(sample, [tmp_path / "P1.parquet"])
    assert len(left) == len(sample) - 6
    assert set(map(tuple, left[CELL_KEYS].to_numpy())) == set(map(tuple, keys.to_numpy()))


def test_exchanged_coordinates_are_refused_not_joined_by_chance(cells: pd.DataFrame, tmp_path: Path) -> None:
    table = outside(cells)
    table = table.rename(columns={"Nuclei_Location_Center_Y": "x", "Nuclei_Location_Center_X": "y"})
    table.to_parquet(tmp_path / "table.parquet")
    encoder = load_table({"kind": "table", "path": str(tmp_path / "table.parquet"), "features": "f"})
    with pytest.raises(DataError, match=r"of 60 cells of plate P1 .* but 60 with y and x exchanged"):
        encoder.embed_cells(cells)
    named = {"kind": "table", "path": str(tmp_path / "table.parquet"), "features": "f", "y": "x", "x": "y"}
    check(load_table(named).embed_cells(cells), cells)


def test_one_row_serves_the_nearest_cell_only(cells: pd.DataFrame, tmp_path: Path) -> None:
    two = cells.iloc[:1].loc[[0, 0]].reset_index(drop=True)
    two[NUCLEUS], two["y"] = [1, 2], two["y"] + np.float32([0.0, 5.0])
    outside(cells).to_parquet(tmp_path / "table.parquet")
    encoder = load_table({"kind": "table", "path": str(tmp_path / "table.parquet"), "tolerance": 10.0})
    keys, _, missing, _ = encoder.embed_cells(two)
    assert len(keys) == 1 and len(missing) == 1


@pytest.mark.parametrize("write_as", ["text", "numbers"])
def test_labels_join_however_they_are_written(cells: pd.DataFrame, tmp_path: Path, write_as: str) -> None:
    table = cells[CELL_KEYS].assign(embedding=list(vectors(cells)))
    number = write_as == "numbers"
    table[SITE] = table[SITE].astype(int) if number else "0" + table[SITE]
    table[NUCLEUS] = table[NUCLEUS].astype(float if number else str)
    table[WELL] = table[WELL].str.lower()
    table.to_parquet(tmp_path / "table.parquet")
    encoder = load_table({"kind": "table", "path": str(tmp_path / "table.parquet")})
    found = encoder.embed_cells(cells)
    check(found, cells)
    assert found[3].joined_by == "nucleus"


def test_plates_that_are_numbers(cells: pd.DataFrame, tmp_path: Path) -> None:
    numbered = cells.assign(**{PLATE: "110000293081"})
    table = outside(cells).assign(barcode=110000293081.0)
    table.to_csv(tmp_path / "table.csv", index=False)
    encoder = load_table({"kind": "table", "path": str(tmp_path / "table.csv"), "features": "f"})
    assert encoder.embed_cells(numbered)[3].matched == len(cells)


def test_a_table_of_wells_gives_every_cell_its_well(cells: pd.DataFrame, tmp_path: Path) -> None:
    pd.DataFrame({"plate": "P1", "well": ["A1", "B12"], "a": [1.0, 2.0], "b": [3.0, 4.0]}).to_csv(
        tmp_path / "wells.csv", index=False
    )
    encoder = load_table({"kind": "table", "path": str(tmp_path / "wells.csv")})
    keys, embedded, missing, matching = encoder.embed_cells(cells)
    assert matching.joined_by == "well" and not missing
    np.testing.assert_array_equal(embedded[:, 0], np.where(keys[WELL] == "A01", 1, 2))


@pytest.mark.parametrize("sparse", [False, True])
def test_anndata_is_read(cells: pd.DataFrame, tmp_path: Path, sparse: bool) -> None:
    import h5py
    from scipy.sparse import csr_matrix

    table = outside(cells)
    with h5py.File(tmp_path / "table.h5ad", "w") as file:
        values = table[[f"f{i}" for i in range(WIDTH)]].to_numpy(np.float32)
        if sparse:
            group, matrix = file.create_group("X"), csr_matrix(values)
            group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", values.shape
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name)
        else:
            file["X"] = values
        obs = file.create_group("obs")
        obs.attrs["column-order"] = ["plate", "well", "site", "y", "x"]
        codes, wells = pd.factorize(table["Well"])
        category = obs.create_group("well")
        category["codes"], category["categories"] = codes, [str(well).encode() for well in wells]
        obs["plate"] = ["P1"] * len(table)
        obs["site"] = table["Field"].to_numpy()
        obs["y"], obs["x"] = table["Nuclei_Location_Center_Y"], table["Nuclei_Location_Center_X"]
    encoder = load_table({"kind": "table", "path": str(tmp_path / "table.h5ad")})
    check(encoder.embed_cells(cells), cells)


def test_centres_in_other_units_are_scaled(cells: pd.DataFrame, tmp_path: Path) -> None:
    table = outside(cells)
    for axis in "YX":
        table[f"Nuclei_Location_Center_{axis}"] *= 0.6  # micrometres
    table.to_parquet(tmp_path / "table.parquet")
    spec = {"kind": "table", "path": str(tmp_path / "table.parquet"), "features": "f"}
    check(load_table({**spec, "scale": 1 / 0.6}).embed_cells(cells), cells)


def test_what_does_not_fit_is_named_with_an_example_of_each_side(cells: pd.DataFrame, tmp_path: Path) -> None:
    def load(table: pd.DataFrame, **options: Any) -> Any:
        table.to_parquet(tmp_path / "table.parquet")
        return load_table({"kind": "table", "path": str(tmp_path / "table.parquet"), **options})

    table = outside(cells)
    with pytest.raises(DataError, match="has no rows of plate P1; its plates are such as other"):
        load(table.assign(barcode="other")).embed_cells(cells)
    with pytest.raises(DataError, match=r"ours are such as \(A01, 1\), its rows \([AB]\d\d, 9\)"):
        load(table.assign(Field=9)).embed_cells(cells)
    with pytest.raises(DataError, match="within 8 px; set `tolerance`, or `scale`"):
        load(table.assign(Nuclei_Location_Center_Y=table["Nuclei_Location_Center_Y"] + 25)).embed_cells(cells)
    with pytest.raises(DataError, match="no column for the well"):
        load(table.drop(columns="Well"))
    with pytest.raises(DataError, match="a site but no cell in it"):
        load(table.drop(columns="Nuclei_Location_Center_X"))
    with pytest.raises(DataError, match="1 embeddings are not finite, the first of plate P1, well"):
        load(table.assign(f0=[np.nan, *table["f0"][1:]]), features="f")
    with pytest.raises(DataError, match="has no column 'nothing' \\(well\\)"):
        load(table, well="nothing")
    with pytest.raises(DataError, match="has several rows"):
        load(cells[CELL_KEYS].iloc[[0, 0, 1]].assign(a=1.0)).embed_cells(cells)
    with pytest.raises(ConfigError, match="a centre needs both columns"):
        load(table, y="Nuclei_Location_Center_Y")
    with pytest.raises(ConfigError, match="give the table"):
        load_table({"kind": "table", "name": "theirs"})
    with pytest.raises(DataError, match="no such table"):
        load_table({"kind": "table", "path": str(tmp_path / "absent.parquet")})
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"text\.parquet: not readable"):
        load_table({"kind": "table", "path": str(tmp_path / "text.parquet")})


def test_digest_follows_the_table_and_its_options(cells: pd.DataFrame, tmp_path: Path) -> None:
    write_table(outside(cells), tmp_path / "a.parquet")
    write_table(outside(cells).assign(f0=0.0), tmp_path / "b.parquet")
    digests = [
        load_table({"kind": "table", "path": str(tmp_path / name), "tolerance": tolerance}).digest
        for name, tolerance in (("a.parquet", 8.0), ("a.parquet", 9.0), ("b.parquet", 8.0), ("a.parquet", 8.0))
    ]
    assert len(set(digests)) == 3 and digests[0] == digests[3]
