"""The gallery's layout of a finished run: places by its documentation, every cell once, values equal."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire import cli
from campfire.core import columns as names
from campfire.encoders import embedding_table, load_table

MODEL = "campfire-DNA-AGP_jump_abababa"


@pytest.fixture(scope="module")
def layout(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gallery") / "cpg9999-mine"
    assert cli.main(["export", "gallery", str(results), str(out), "--dataset", "jump"]) == 0
    return out / "source_3/workspace_dl"


def test_files_lie_where_the_gallery_documents_them(layout: Path) -> None:
    places = {path.relative_to(layout).as_posix() for path in layout.rglob("*.parquet")}
    sites = [f"{well}-{site}" for well in ("A01", "A02", "B03") for site in (1, 2)]
    plates = {"P1": "B1", "P2": "B2"}
    expected = {f"embeddings/{MODEL}/{b}/{p}/{site}/embedding.parquet" for p, b in plates.items() for site in sites}
    expected |= {f"profiles/{MODEL}/{b}/{p}/{p}.parquet" for p, b in plates.items()}
    expected |= {f"collated/{MODEL}/collated.parquet", f"consensus/{MODEL}/consensus.parquet"}
    assert places == expected
    assert "ab" * 32 in (layout / f"embeddings/{MODEL}/README.md").read_text()


def test_every_cell_is_there_once_with_its_embedding(layout: Path, results: Path) -> None:
    for plate, batch in (("P1", "B1"), ("P2", "B2")):
        keys, vectors = embedding_table.read(results / f"embeddings/campfire/DNA_AGP/{plate}.parquet")
        parts = []
        for path in sorted((layout / f"embeddings/{MODEL}/{batch}/{plate}").glob("*/embedding.parquet")):
            parts.append(pd.read_parquet(path))
            assert {f"{w}-{s}" for w, s in parts[-1][[names.WELL, names.SITE]].to_numpy()} == {path.parent.name}
        table = pd.concat(parts).set_index(names.CELL_KEYS).filter(like="campfire_")
        assert table.index.is_unique and len(table) == len(keys)
        found = table.loc[pd.MultiIndex.from_frame(keys[names.CELL_KEYS])].to_numpy()
        np.testing.assert_array_equal(found, vectors)


def test_profiles_are_means_and_consensus_medians(layout: Path) -> None:
    collated = pd.read_parquet(layout / f"collated/{MODEL}/collated.parquet")
    plates = [pd.read_parquet(path) for path in sorted((layout / f"profiles/{MODEL}").rglob("*.parquet"))]
    pd.testing.assert_frame_equal(pd.concat(plates, ignore_index=True), collated)
    site = pd.concat(map(pd.read_parquet, (layout / f"embeddings/{MODEL}/B2/P2").glob("B03-*/embedding.parquet")))
    row = collated.query("Metadata_Plate == 'P2' and Metadata_Well == 'B03'").filter(like="campfire_")
    np.testing.assert_allclose(row.to_numpy()[0], site.filter(like="campfire_").mean(), rtol=1e-6)
    consensus = pd.read_parquet(layout / f"consensus/{MODEL}/consensus.parquet").set_index(names.COMPOUND)
    median = collated[collated[names.COMPOUND] == "C2"].filter(like="campfire_").median()
    np.testing.assert_allclose(consensus.loc["C2"].filter(like="campfire_").to_numpy(float), median, rtol=1e-6)
    assert consensus["Metadata_Wells"].to_dict() == {"C1": 2, "C2": 2, "DMSO": 2}


def test_the_encoder_kind_table_reads_a_site(layout: Path) -> None:
    path = layout / f"embeddings/{MODEL}/B1/P1/A02-1/embedding.parquet"
    encoder = load_table({"kind": "table", "path": str(path)})
    assert encoder.table.level == "nucleus" and encoder.table.vectors.shape == (2, 6)


def test_a_dataset_that_makes_no_folder_name_is_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", "gallery", str(results), str(tmp_path / "out"), "--dataset", "a/b_c"]) == 1
    assert "letters, digits, - and ." in capsys.readouterr().err and not (tmp_path / "out").exists()
