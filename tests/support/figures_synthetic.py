"""Data of every figure, on synthetic results."""

from typing import Any

import numpy as np
import pandas as pd

from campfire.report import figures, tables
from support.tables_synthetic import predictions, quadrants, summary, wells, zprime

OPTIONS = tables.TableOptions(
    encoders=["campfire", "untrained", "dino"], twins={"campfire": "untrained"}, labels={"campfire": "Campfire"},
    replicates=100,
)  # fmt: skip


def snapshots(path: Any, mask: bool = True) -> dict[str, Any]:
    """Two tiles of two channels after three epochs; the error falls by a known amount."""
    rng = np.random.default_rng(1)
    target = rng.normal(size=(2, 2, 28, 28)).astype(np.float32)
    hidden = np.zeros(target.shape, bool)
    hidden[:, :, :14] = True
    errors = np.array([1.0, 0.5, 0.25], np.float32)
    arrays = {
        "epochs": np.array([1, 5, 20]),
        "target": target,
        "masked": np.where(hidden, 0, target),
        "reconstruction": target[None] + errors[:, None, None, None, None],
        "channels": np.array(["DNA", "Mito"]),
        "Metadata_Plate": np.array(["P1", "P2"]),
        "Metadata_Well": np.array(["A01", "B02"]),
    }
    np.savez(path, **arrays, **({"mask": hidden} if mask else {}))
    return arrays


def metrics(epochs: int = 8) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    train = pd.DataFrame({"epoch": epoch, "step": epoch * 10, "split": "train", "loss": 1 / epoch})
    train["lr"], train["tiles_per_s"] = 1e-3 / epoch, 200.0
    val = train.assign(split="val", loss=train["loss"] * 1.1, lr=np.nan, tiles_per_s=np.nan)
    return pd.concat([train, val], ignore_index=True)


def quality() -> pd.DataFrame:
    rows = [
        ("P1", f"{row}{column:02d}", str(site), -2.0 - site, 100.0, 10 * column, column != 3)
        for row in "ABC"
        for column in range(1, 5)
        for site in (1, 2)
    ]
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "focus_DNA", "background_DNA", "nuclei", "kept"]
    return pd.DataFrame(rows, columns=columns)


def profile_data() -> Any:
    """Three encoders, two with names of more than three rows' height."""
    named = OPTIONS.changed(labels={"untrained": "Classical features", "dino": "Mean intensities"})
    summaries = {"campfire": summary(), "untrained": summary(), "dino": summary()}
    made = (tables.profiles.build(summaries, named), tables.profiles.build_variance(summaries, named))
    return figures.profiles.prepare(*(table.data for table in made))


def every_figure(results: Any, accuracies: Any, folder: Any) -> dict[str, Any]:
    """Name -> (module, data) of all figures on the synthetic results."""
    folder.mkdir(parents=True, exist_ok=True)
    snapshots(folder / "snapshots.npz")
    arrays = figures.figure_3_3.read_snapshots(folder / "snapshots.npz")
    gaps = tables.gaps.build(results, OPTIONS).data
    differences = tables.differences.build(results, OPTIONS).data
    scored = predictions(quadrants(7, 6, 5, 4), "release")
    pairs = {"campfire": zprime(), "dino": zprime(-0.5)}
    return {
        "figure_2_1": (figures.figure_2_1, figures.figure_2_1.prepare(wells(), ["C1"])),
        "figure_3_3": (figures.figure_3_3, figures.figure_3_3.prepare(arrays)),
        "figure_3_4": (figures.figure_3_4, figures.figure_3_4.prepare(accuracies, "campfire", "release")),
        "figure_3_5": (figures.figure_3_5, figures.figure_3_5.prepare(pairs, {"dino": "DinoViT-S8"})),
        "training_curves": (figures.training_curves, figures.training_curves.prepare({"run": metrics()})),
        "ood_gap": (figures.ood_gap, figures.ood_gap.prepare(gaps, "DNA_AGP_Mito", "release")),
        "claims": (figures.claims, figures.claims.prepare(differences)),
        "confusion": (figures.confusion, figures.confusion.prepare(scored, "release")),
        "profiles": (figures.profiles, profile_data()),
        "plate_layout": (figures.plate_layout, figures.plate_layout.prepare(quality())),
    }


NAMES_OF_ALL = [
    "figure_2_1", "figure_3_3", "figure_3_4", "figure_3_5", "training_curves", "ood_gap", "claims", "confusion",
    "plate_layout", "profiles",
]  # fmt: skip
