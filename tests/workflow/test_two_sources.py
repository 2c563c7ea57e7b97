"""Two laboratories with other cameras and stains, from an S3 server to tables; what masks and single channels cost."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from campfire.core.columns import PLATE
from campfire.core.files import read_table, read_table_metadata
from campfire.core.yaml import merge, read_yaml
from campfire.images.tiles import open_plate
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

OTHERS = ["OTHER001", "OTHER002"]
SET = "DNA_AGP_Mito"
TABLES = ["table_3_1", "laboratories", "retrieval", "outside_cell", "unseen_channels", "training_channels"]


def in_folder(repository: Path) -> dict[str, Any]:
    """config/two-labs.yaml over config/smoke.yaml, with the screen in the working folder."""
    plain = (repository / "config/two-labs.yaml").read_text().replace("results/two-labs-screen", "screen")
    settings: dict[str, Any] = merge(read_yaml(repository / "config/smoke.yaml"), yaml.safe_load(plain))
    return settings | {"results": "results", "logs": "logs", "known_bad": str(repository / "config/known_bad.tsv")}


@pytest.fixture(scope="module")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tables of the two laboratories were made."""
    folder = tmp_path_factory.mktemp("sources")
    write_screen(folder / "screen", ScreenOptions(**read_yaml(repository / "config/two-labs-screen.yaml"), workers=1))
    (folder / "two.yaml").write_text(yaml.safe_dump(in_folder(repository)))
    command = [sys.executable, "-m", "campfire", "serve", "screen/s3", "--"]
    command += [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--cores", "2", "--nocolor"]
    command += ["--configfile", str(repository / "config/config.yaml"), "two.yaml", "--"]
    command += ["check_source", *(f"results/tables/{name}.csv" for name in TABLES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return folder


def test_images_of_both_laboratories_came_from_the_server(finished: Path) -> None:
    assert read_yaml(finished / "two.yaml")["s3"]["folder"] is None
    for plate, source in (("SIMQC001", "source_99"), (OTHERS[0], "source_98")):
        keys = read_table(finished / f"results/download/{plate}.parquet")["key"]
        assert len(keys) and keys.str.contains(f"/{source}/").all(), plate


def test_the_source_is_as_the_sheet_says(finished: Path) -> None:
    text = (finished / "results/check_source.md").read_text()
    assert "source_98" in text and "plates are as expected" in text
    assert "were expected" not in text and "no channel" not in text


def test_tiles_of_both_laboratories_have_one_scale(finished: Path) -> None:
    ours, theirs = (open_plate(finished / f"results/tiles/{plate}.npy") for plate in ("SIMQC001", "OTHER001"))
    assert ours.images.shape[2:] == theirs.images.shape[2:] == (112, 112)
    assert ours.channels == ["DNA", "AGP", "Mito", "ER", "RNA"] and theirs.channels == ["DNA", "AGP", "ER"]
    assert theirs.metadata["native_size"] == 148 and "native_size" not in ours.metadata
    # Nuclei have the same size on tiles of both: half of the DNA light lies within the same radius.
    axis = np.arange(112) - 56
    distance = np.hypot(axis[:, None], axis[None, :]).ravel()

    def radius(store: Any) -> float:
        light = np.median(store.images[:, 0].reshape(len(store), -1), axis=0).astype(float)
        light = np.clip(light - np.percentile(light, 20), 0, None)
        order = np.argsort(distance)
        return float(distance[order][np.searchsorted(np.cumsum(light[order]), light.sum() / 2)])

    assert radius(theirs) == pytest.approx(radius(ours), rel=0.15)


def test_plates_are_embedded_with_the_channels_that_they_have(finished: Path) -> None:
    folder = finished / "results/embeddings/campfire" / SET
    facts = {path.stem: read_table_metadata(path)["channels"] for path in folder.glob("*.parquet")}
    assert facts["SIMQC001"] == ["DNA", "AGP", "Mito"]
    assert all(facts[plate] == ["DNA", "AGP"] for plate in OTHERS)


def test_the_other_laboratory_has_rows_of_its_own(finished: Path) -> None:
    table = pd.read_csv(finished / "results/tables/laboratories.csv")
    other = table[table["laboratory"] == "other laboratory"]
    assert set(other["source"]) == {"source_98"} and set(other["n_plates_ood"]) == {2}
    assert set(table["laboratory"]) == {"other laboratory", "OOD plates"}
    predictions = read_table(finished / f"results/probes/campfire/{SET}/predictions.parquet")
    assert set(OTHERS) < set(predictions[PLATE])


def test_each_question_has_its_table(finished: Path) -> None:
    for name in TABLES:
        table = pd.read_csv(finished / f"results/tables/{name}.csv")
        assert len(table) and (finished / f"results/tables/{name}.md").is_file(), name
    retrieval = set(pd.read_csv(finished / "results/tables/retrieval.csv")["metric"])
    # The other laboratory has a plate layout of its own.
    assert {"graded_same_batch", "graded_other_batch", "graded_other_layout", "layout_leak"} <= retrieval
