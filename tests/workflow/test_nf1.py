"""A real screen of another cell type and channel set, from local TIFFs to embeddings of its wells."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from campfire.core.files import read_table
from campfire.encoders import embedding_table as embeddings
from campfire.images.gallery.arrange import arrange, find_images
from campfire.images.tiles import open_plate

pytestmark = pytest.mark.workflow

PATTERN = "(?P<well>[A-H][0-9]+)_.*_(?P<channel>[A-Z]+)_[0-9]+[.]tif"
CHANNELS = {"DAPI": "DNA", "GFP": "ER", "RFP": "AGP"}


def test_nf1_fields_become_embeddings_of_their_wells(repository: Path, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/images/nf1_plate2"
    arrange(find_images(folder / "images", PATTERN, CHANNELS, plate="NF1P2"), tmp_path / "bucket")
    changes = {
        "s3": {"folder": str(tmp_path / "bucket")},
        "known_bad": str(repository / "config/known_bad.tsv"),
        "transfer": {"sheet": str(repository / "config/nf1.tsv"), "encoders": ["untrained"]},
    }
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(changes))
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--configfile", *(str(repository / f"config/{name}.yaml") for name in ("config", "nf1")), "here.yaml"]
    command += ["--cores", "2", "--nocolor", "--", "results/nf1/transfer/untrained/wells.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    nuclei = read_table(tmp_path / "results/nf1/nuclei/NF1P2.parquet")
    inside = nuclei[~nuclei["reason"].str.contains("edge")].groupby("Metadata_Well").size()
    reference = {
        well: len(pd.read_csv(folder / f"reference/{well[0]}{int(well[1:])}_nuclei.csv")) for well in inside.index
    }
    for well, count in inside.items():
        assert count == pytest.approx(reference[well], rel=0.15), well
    store = open_plate(tmp_path / "results/nf1/tiles/NF1P2.npy")
    assert store.channels == ["DNA", "ER", "AGP"]
    assert store.images.shape[1:] == (3, 112, 112)
    keys, vectors = embeddings.read(tmp_path / "results/nf1/embeddings/untrained/DNA_ER_AGP/NF1P2.parquet")
    assert len(keys) == nuclei["kept"].sum() == len(store.index)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors.round(4), axis=0)) == len(vectors)
    wells = read_table(tmp_path / "results/nf1/transfer/untrained/wells.parquet")
    assert wells["Metadata_Well"].tolist() == ["B07", "D06", "F07"]
    assert wells["n_cells"].sum() == len(keys)
    rows = (keys["Metadata_Well"] == "D06").to_numpy()
    np.testing.assert_allclose(wells["embedding"][1], vectors[rows].mean(axis=0), rtol=1e-4, atol=1e-6)
