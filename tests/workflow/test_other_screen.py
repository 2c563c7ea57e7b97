"""A screen that is not JUMP's, from TIFFs to tables: its own channels, ids, plate types and pixel size, no S3."""

import gzip
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from campfire.core.files import read_table
from campfire.images.gallery.arrange import arrange, read_list
from campfire.images.tiles import open_plate
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

CHANNELS = {"DNA": "DNA", "AGP": "Actin", "Mito": "Tubulin", "ER": "Lipids"}
SCREEN = ScreenOptions(
    id_plates=3, ood_plates=1, compound_plates=0, transfer_plates=0, positive_controls=2, compounds=4, dmso_wells=1,
    sites=1, field=300, cells=20, corrupt=0, illumination=False, workers=1,
)  # fmt: skip
COMPOUNDS = {"JCP2022_033924": "DMSO", "JCP2022_900001": "drugA", "JCP2022_900002": "drugB"}


@pytest.fixture
def screen(tmp_path: Path) -> Path:
    """A simulated screen as somebody else would have it: a list of TIFFs, a sheet, a table of wells."""
    write_screen(tmp_path / "simulated", SCREEN)
    s3 = tmp_path / "simulated/s3"
    rows = []
    for path in (found for found in s3.rglob("load_data*") if found.is_file()):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
        for record in table.astype(str).to_dict("records"):
            for channel in CHANNELS:
                if f"URL_Orig{channel}" in record:
                    image = s3 / record[f"URL_Orig{channel}"].removeprefix("s3://")
                else:
                    folder = record[f"PathName_Orig{channel}"].removeprefix("s3://")
                    image = s3 / folder / record[f"FileName_Orig{channel}"]
                place = [record[f"Metadata_{name}"] for name in ("Plate", "Well", "Site")]
                rows.append([*place, channel, str(image)])
    images = pd.DataFrame(rows, columns=["plate", "well", "site", "channel", "path"])
    sheet = pd.read_csv(tmp_path / "simulated/plates.tsv", sep="\t", dtype=str)
    batches = sheet.set_index("Metadata_Plate")["Metadata_Batch"]
    images = images[images["plate"].isin(batches.index)].drop_duplicates(["plate", "well", "site", "channel"])
    images.assign(source="lab", batch=images["plate"].map(batches)).to_csv(tmp_path / "images.tsv", sep="\t")
    sheet.assign(Metadata_Source="lab", Metadata_PlateType="screen").to_csv(
        tmp_path / "plates.tsv", sep="\t", index=False
    )
    with gzip.open(tmp_path / "simulated/metadata/well.csv.gz", "rt") as handle:
        wells = pd.read_csv(handle, dtype=str)
    ids = {name: f"drug-{n}" for n, name in enumerate(sorted(set(wells["Metadata_JCP2022"]) - set(COMPOUNDS)))}
    wells = wells.assign(Metadata_Source="lab").replace({"Metadata_JCP2022": {**ids, **COMPOUNDS}})
    wells.to_csv(tmp_path / "wells.csv", index=False)
    arrange(read_list(tmp_path / "images.tsv", CHANNELS), tmp_path / "bucket")
    return tmp_path


def test_another_screen_goes_from_tiffs_to_tables(repository: Path, screen: Path) -> None:
    run = {
        "epochs": 1, "batch_size": 16, "global_batch": 16, "learning_rate": 1e-3, "warmup_epochs": 0, "plate_types": [],
        "model": {"width": 64, "depth": 1, "heads": 2, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2},
        "log_steps": 1, "validation_tiles": 32, "imagenet": "",
    }  # fmt: skip
    changes = {
        "results": "results/mine",
        "sheet": "plates.tsv",
        "metadata": {"well": {"address": "wells.csv", "sha256": None}},
        "s3": {"folder": "bucket", "bucket": "images", "prefix": ""},
        "known_bad": str(repository / "config/known_bad.tsv"),
        "channels": list(CHANNELS.values()),
        "training_channels": ["DNA", "Actin", "Tubulin"],
        "pixel_size_um": 0.6,
        "nuclei": {"method": "classical"},
        "split": {
            "held_out": 2, "wells_train": 1, "wells_val": 1, "wells_test": 1, "controls": ["DMSO", "drugA", "drugB"],
        },
        "sample": {"control_cells": 8, "heldout_cells": 8},
        "pretrain": {"runs": {"campfire": run}},
        "evaluate": [
            {"encoder": name, "channel_sets": ["trained", "unseen"]} for name in ("campfire", "untrained")
        ],
        "probe": {"subsets": 1, "folds": 3, "epochs": 3},
        "tables": {
            "id_channels": "trained", "ood_channels": "unseen", "encoders": ["campfire", "untrained"],
            "paper_screen": False, "replicates": 50,
        },
    }  # fmt: skip
    # Laid over the default's sets, which name channels that are not here.
    changes["channel_sets"] = {"trained": ["DNA", "Actin", "Tubulin"], "unseen": ["DNA", "Lipids"]}
    (screen / "mine.yaml").write_text(yaml.safe_dump(changes))
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--cores", "2", "--nocolor"]
    command += ["--configfile", str(repository / "config/config.yaml"), "mine.yaml", "--", "all"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=screen)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    root = screen / "results/mine"
    plate = min(root.glob("tiles/*.npy"))
    assert open_plate(plate).channels == list(CHANNELS.values())
    scores = read_table(root / "probes/campfire/unseen/scores.parquet")
    assert set(scores["split"]) == {"test", "test_ood_plate", "test_ood_compound", "test_ood_both"}
    assert "drugA" in set(read_table(root / "probes/campfire/unseen/predictions.parquet")["truth"])
    table = (root / "tables/table_3_1.md").read_text()
    assert "DNA + Actin + Tubulin" in table and "Untrained twin" in table, "named as the user names them"
    assert "ImageNet" not in table and "paper" not in table and "Nu +" not in table
    assert "drugA" in (root / "figures/similarity.csv").read_text()
    assert (root / "figures/figure_3_3.png").stat().st_size > 0
