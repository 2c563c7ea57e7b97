"""Every kind of encoder through the workflow on a small screen, and someone else's table as a row of Table 3.1."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from campfire.core.columns import CELL_KEYS
from campfire.core.files import read_table, read_table_metadata
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen
from support import outside_embeddings
from support.peer_weights import write_weights

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

SCREEN = ScreenOptions(
    id_plates=3, ood_plates=1, compound_plates=0, transfer_plates=0, positive_controls=2, compounds=4, dmso_wells=1,
    sites=1, field=300, cells=20, corrupt=0, illumination=False, workers=1,
)  # fmt: skip
SET = "DNA_AGP_Mito"
METADATA = ("plate", "well", "compound")


def config(repository: Path, folder: Path, encoders: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The smoke run's numbers on the screen in `folder`, with these encoders alone."""
    settings: dict[str, Any] = yaml.safe_load((repository / "config/smoke.yaml").read_text())
    settings |= {
        "results": "results", "logs": "logs", "sheet": "screen/plates.tsv",
        "metadata": {name: {"address": f"screen/metadata/{name}.csv.gz", "sha256": None} for name in METADATA},
        "s3": {"folder": "screen/s3/cellpainting-gallery"},
        "known_bad": str(repository / "config/known_bad.tsv"),
        "encoders": encoders,
        "evaluate": [{"encoder": name, "channel_sets": [SET]} for name in encoders],
        "transfer": {"sheet": None, "encoders": []},
        "tables": {"paper_screen": False, "encoders": list(encoders), "replicates": 50},
        "probe": {"subsets": 1, "folds": 3, "epochs": 30, "learning_rate": 0.01},
    }  # fmt: skip
    return settings


@pytest.fixture(scope="module")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Table 3.1 was made of every kind that needs no network."""
    folder = tmp_path_factory.mktemp("kinds")
    write_screen(folder / "screen", SCREEN)
    script = outside_embeddings.__file__
    made = subprocess.run(
        [sys.executable, script, folder / "screen/s3", folder / "theirs.csv", folder / "theirs.h5ad"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    encoders = write_weights(folder)
    encoders["theirs"] = {"kind": "table", "path": "theirs.csv", "features": "feature_"}
    encoders["anndata"] = {"kind": "table", "path": "theirs.h5ad"}
    encoders["timm"] = {"kind": "timm", "model": "vit_tiny_patch16_224", "weights": "random", "size": 32}
    encoders["features"] = {"kind": "features", "families": ["intensity"]}
    (folder / "kinds.yaml").write_text(yaml.safe_dump(config(repository, folder, encoders)))
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--cores", "2", "--nocolor"]
    command += ["--configfile", str(repository / "config/config.yaml"), "kinds.yaml", "--"]
    command += ["results/tables/table_3_1.csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, cwd=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return folder


def test_each_kind_has_a_row_in_table_3_1(finished: Path) -> None:
    table = pd.read_csv(finished / "results/tables/table_3_1.csv")
    text = table.to_csv()
    notes = (finished / "results/tables/table_3_1.md").read_text()
    assert "openphenom: code CC BY-NC 4.0; weights non-commercial" in notes
    for name in yaml.safe_load((finished / "kinds.yaml").read_text())["encoders"]:
        scores = read_table(finished / f"results/probes/{name}/{SET}/scores.parquet")
        assert scores["accuracy"].between(0, 1).all()
        assert name in text


def test_the_tables_cells_are_joined_and_the_missing_ones_told(finished: Path) -> None:
    folder = finished / "results/embeddings/theirs" / SET
    matching = pd.read_csv(folder / "matching.tsv", sep="\t")
    assert len(matching) == 4
    assert (matching["joined_by"] == "centre").all()
    assert (matching["matched"] + matching["missing"] == matching["cells"]).all()
    assert 0 < matching["missing"].sum() <= 0.25 * matching["cells"].sum()
    assert matching["distance"].max() < 8
    lost = sum(len(read_table_metadata(path)["missing"]) for path in folder.glob("*.parquet"))
    assert lost == matching["missing"].sum()
    # The cells that are missing are scored by no one; the others are the sample's.
    sample = read_table(finished / "results/sample/cells.parquet")
    others = read_table(finished / f"results/probes/morphem/{SET}/predictions.parquet")
    theirs = read_table(finished / f"results/probes/theirs/{SET}/predictions.parquet")
    assert 0 < len(theirs) < len(others)
    assert set(map(tuple, theirs[CELL_KEYS].to_numpy())) < set(map(tuple, sample[CELL_KEYS].to_numpy()))


def test_anndata_holds_the_same_embeddings(finished: Path) -> None:
    for plate in ("SIMQC001", "SIMQC004"):
        ours, theirs = (
            read_table(finished / f"results/embeddings/{name}/{SET}/{plate}.parquet") for name in ("theirs", "anndata")
        )
        pd.testing.assert_frame_equal(ours[CELL_KEYS], theirs[CELL_KEYS])
        np.testing.assert_allclose(np.stack(ours["embedding"]), np.stack(theirs["embedding"]), rtol=1e-6)


def test_the_plan_names_what_is_wrong_with_encoders(repository: Path, finished: Path) -> None:
    wrong = {
        "a": {"kind": "morphem", "weights": "absent.safetensors"},
        "b": {"kind": "table", "path": "theirs.csv", "tolerence": 3.0},
    }
    for names, words in ((["b"], "did you mean `tolerance`"), (["a"], "CaicedoLab/MorphEm on the Hugging Face hub")):
        chosen = {name: wrong[name] for name in names}
        (finished / "wrong.yaml").write_text(yaml.safe_dump(config(repository, finished, chosen)))
        command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "-n", "--nocolor"]
        command += ["--configfile", str(repository / "config/config.yaml"), "wrong.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=finished)
        assert done.returncode != 0
        assert words in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_the_digest_of_weights_is_in_the_embeddings(finished: Path) -> None:
    facts = read_table_metadata(min((finished / "results/embeddings/openphenom" / SET).glob("*.parquet")))
    assert facts["encoder"] == "openphenom" and len(facts["weights"]) == 64
