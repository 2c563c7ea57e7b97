"""A pretrained model as a folder for a model hub: weights, config.json and a model card filled from the run."""

from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.digests import file_sha256
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import write_json, write_text
from campfire.core.text import some
from campfire.export.finished import Finished, new_folder
from campfire.export.model_card import model_card

WEIGHTS = "model.safetensors"


def export(run: Finished, out: str | Path, licence: str, pretraining: str = "", name: str = "") -> list[Path]:
    """Write model.safetensors, config.json and README.md (the model card) to the folder `out`; return their paths.

    pretraining: the pretraining run, needed where the results have several. licence: the SPDX name under which the
    weights are published. name: the model's name in its card, by default that of the pretraining run.
    """
    from campfire.model import read_header

    chosen = pretraining or _only(run)
    weights = run.root / "pretrain" / chosen / WEIGHTS
    if not weights.is_file():
        raise ConfigError(
            f"{weights}: no such weights; the results have the pretraining runs {some(_known(run)) or '(none)'}"
        )
    recorded = {Path(path).parts[-3:]: digest for path, digest in run.record["files"].items()}
    digest = file_sha256(weights)
    if recorded.get(weights.parts[-3:], digest) != digest:
        raise DataError(f"{weights}: has other bytes than provenance.json recorded; run `all` again")
    header = read_header(weights)
    if "model" not in header:
        raise DataError(f"{weights}: its header has no configuration of a model; run the pretraining again")
    with new_folder(out) as folder:
        _copy_weights(weights, folder / WEIGHTS)
        write_json(folder / "config.json", config_of(run, header))
        card = model_card(run, header, accuracies(run, chosen), digest, licence, name or chosen)
        write_text(folder / "README.md", card)
    return [Path(out) / file for file in (WEIGHTS, "config.json", "README.md")]


def _copy_weights(source: Path, target: Path) -> None:
    """Copy the tensors and the header; hub libraries load only files that name their format there."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(str(source), "pt") as file:
        header = dict(file.metadata() or {})
    save_file(load_file(str(source)), target, metadata={**header, "format": "pt"})


def config_of(run: Finished, header: dict[str, Any]) -> dict[str, Any]:
    """What a program needs to use the weights; the weight file's own header says the same."""
    return {
        "architectures": ["MaskedAutoencoder"],
        "model_type": f"campfire_{header['model']['family']}",
        "model": header["model"],
        "channels": header["channels"],
        "normalisation": header["normalisation"],
        "tile_size_px": header["model"]["image_size"],
        "pixel_size_um": run.config.get("pixel_size_um"),
        "software": header.get("software", ""),
    }


def accuracies(run: Finished, pretraining: str) -> pd.DataFrame:
    """Rows of the table of accuracies of the encoders made from a pretraining run, its untrained twin last.

    Empty where the run evaluates none of them.
    """
    path = run.root / "tables/accuracies.csv"
    kinds = {
        name: spec["kind"]
        for name, spec in run.config["encoders"].items()
        if spec.get("run") == pretraining and spec["kind"] in ("pretrained", "untrained")
    }
    if not path.is_file():
        return pd.DataFrame()
    table = pd.read_csv(path)
    table = table[table["encoder"].isin(kinds) & table["split"].isin(list(QUADRANTS))].copy()
    table["kind"] = table["encoder"].map(kinds)
    return table.sort_values("kind", kind="stable", ignore_index=True)


def _known(run: Finished) -> list[str]:
    return sorted(path.parent.name for path in (run.root / "pretrain").glob(f"*/{WEIGHTS}"))


def _only(run: Finished) -> str:
    known = _known(run)
    if len(known) != 1:
        what = f"has the pretraining runs {some(known)}; name one with --run" if known else "has no pretrained model"
        raise ConfigError(f"{run.root}: {what}")
    return known[0]
