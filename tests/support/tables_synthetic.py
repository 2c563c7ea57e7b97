"""Small contract files whose accuracies are known by construction."""

from pathlib import Path

import numpy as np
import pandas as pd

from campfire.core.files import write_table
from campfire.report import tables

OPTIONS = tables.TableOptions(
    encoders=["campfire", "untrained", "dino"],
    labels={"campfire": "Campfire", "untrained": "Untrained twin", "dino": "DinoViT-S8"},
    paper={"campfire": "Campfire", "dino": "DinoViT-S8"},
    twins={"campfire": "untrained"},
    replicates=300,
)

CELLS = 10
PLATES = {"ID": ["P1", "P2", "P3"], "OOD": ["P4", "P5", "P6"]}
COMPOUNDS = {"control": ["C1", "C2", "C3"], "heldout": ["H1", "H2", "H3", "H4"]}
SPLITS = {
    "test": ("control", "ID"),
    "test_ood_plate": ("control", "OOD"),
    "test_ood_compound": ("heldout", "ID"),
    "test_ood_both": ("heldout", "OOD"),
}


def predictions(right: dict[str, int], protocol: str, fits: int = 2, seed: int = 0) -> pd.DataFrame:
    """predictions.parquet of one protocol: of the 10 cells of a well, right[split] are right, one more in odd fits."""
    rng = np.random.default_rng(seed)
    rows = []
    for split, (task, where) in SPLITS.items():
        names = COMPOUNDS[task]
        for fit in range(fits):
            for plate in PLATES[where]:
                for number, truth in enumerate(names):
                    # Wells differ by one cell around the stated number, so that a bootstrap has something to resample.
                    for copy, shift in enumerate((-1, 1)):
                        correct = right[split] + fit % 2 + shift
                        wrong = rng.choice([name for name in names if name != truth], CELLS)
                        for cell in range(CELLS):
                            guess = truth if cell < correct else wrong[cell]
                            well = f"{'ABCDEFGH'[number]}{copy + (1 if task == 'control' else 5):02d}"
                            rows.append((protocol, task, fit, split, plate, well, "1", cell + 1, truth, guess))
    columns = ["protocol", "task", "fit", "split", "Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    return pd.DataFrame(rows, columns=[*columns, "Metadata_Nucleus", "truth", "predicted"])


def write_probe(root: Path, encoder: str, channels: str, right: dict[str, dict[str, int]]) -> Path:
    """probes/{encoder}/{channels}/: right is protocol -> split -> right cells of ten in fit 0."""
    table = pd.concat([predictions(value, protocol) for protocol, value in right.items()], ignore_index=True)
    hit = table["truth"] == table["predicted"]
    grouped = table.assign(accuracy=hit.astype(float)).groupby(["protocol", "task", "fit", "split"], sort=False)
    scores = grouped["accuracy"].mean().reset_index()
    scores["balanced_accuracy"], scores["macro_f1"] = scores["accuracy"], scores["accuracy"] - 0.01
    scores["n_cells"] = grouped.size().to_numpy()
    scores["n_wells"], scores["n_train"], scores["epochs"], scores["best_epoch"] = 1, 90, 1, 1
    scores["n_train_min"], scores["doubt"] = 30, ""
    folder = root / "probes" / encoder / channels
    write_table(scores, folder / "scores.parquet")
    write_table(table, folder / "predictions.parquet")
    return folder


def quadrants(*values: int) -> dict[str, int]:
    """Right cells of ten for the four quadrants, in the paper's order."""
    return dict(zip(SPLITS, values, strict=True))


def write_probes(root: Path) -> list[Path]:
    """A trained encoder, its untrained twin and a baseline on the channel sets that the tables need."""
    protocols = ("release", "strict")
    full = quadrants(7, 6, 5, 4)
    sets = {
        "DNA": quadrants(3, 3, 3, 2),
        "AGP": quadrants(4, 4, 3, 3),
        "Mito": quadrants(5, 4, 4, 3),
        "DNA_AGP": quadrants(6, 5, 4, 3),
        "DNA_AGP_Mito": full,
        "DNA_ER_RNA": quadrants(6, 5, 4, 4),
    }
    folders = [
        write_probe(
            root,
            "campfire",
            name,
            {protocol: {k: v - (protocol == "strict") for k, v in right.items()} for protocol in protocols},
        )
        for name, right in sets.items()
    ]
    for encoder, right in {"untrained": quadrants(5, 4, 4, 3), "dino": quadrants(6, 6, 5, 4)}.items():
        of_all = dict.fromkeys(protocols, right)
        folders += [write_probe(root, encoder, name, of_all) for name in ("DNA_AGP_Mito", "DNA_ER_RNA")]
    return folders


def wells() -> pd.DataFrame:
    """split/wells.parquet of six TARGET2 plates with a surplus well, and one COMPOUND plate."""
    rows = []
    labels = {"P1": "train", "P2": "val", "P3": "test"}
    for where, plates in PLATES.items():
        for plate in plates:
            for task, names in COMPOUNDS.items():
                for number, name in enumerate(names):
                    held = task == "heldout"
                    if where == "OOD":
                        split = "test_ood_both" if held else "test_ood_plate"
                    else:
                        split = "test_ood_compound" if held else labels[plate]
                    rows.append((plate, f"{'ABCDEFGH'[number]}{5 if held else 1:02d}", name, "TARGET2", split))
        rows.append((plates[0], "H12", "C1", "TARGET2", "unused" if where == "ID" else "test_ood_plate"))
    rows += [("K1", "A01", "C1", "COMPOUND", "train"), ("K1", "A02", "X9", "COMPOUND", "unused")]
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_JCP2022", "Metadata_PlateType", "split"]
    return pd.DataFrame(rows, columns=columns).assign(Metadata_Source="source_0", Metadata_Batch="B1")


def zprime(shift: float = 0.0) -> pd.DataFrame:
    """transfer/{encoder}/zprime.parquet: four groups, both directions, both methods, both roles."""
    groups = ["neg-M1", "neg-M2", "pos-M1", "pos-M2"]
    rows = []
    for i, first in enumerate(groups):
        for j, second in enumerate(groups):
            if i == j:
                continue
            for method, extra in (("plain", 0.0), ("robust", 0.1)):
                for role in ("heldout", "train"):
                    value = 0.9 - 0.45 * abs(i - j) + shift + extra
                    value = -np.inf if (min(i, j), max(i, j)) == (2, 3) and shift else value
                    rows.append((first, second, role, method, value, value - 0.2, value + 0.1, 8, 9))
    columns = ["reference", "target", "role", "method", "zprime", "low", "high", "n_reference", "n_target"]
    return pd.DataFrame(rows, columns=columns)


def summary() -> pd.DataFrame:
    """profiles/{encoder}/{channels}.parquet: retrieval, neighbours of cells and shares of variance, raw and TVN."""
    rows = []
    for shift, kind in ((0.0, "raw"), (0.1, "tvn")):
        for split in ("test_ood_compound", "test_ood_both"):
            for metric, level in (("map_normalized", "well"), ("knn_accuracy", "cell")):
                rows.append(("heldout", split, metric, kind, level, 0.4 + shift, 0.3 + shift, 0.5 + shift))
        shares = {"compound": 0.5 + shift, "batch": 0.1, "plate": 0.1, "residual": 0.3 - shift}
        for factor, value in shares.items():
            rows.append(("heldout", "", f"variance_{factor}", kind, "well", value, value - 0.05, value + 0.05))
    columns = ["task", "split", "metric", "representation", "level", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).assign(protocol="release")
