"""The configs that docs/encoders.md shows: the kinds accept them, and each embeds tiles with small weights."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from campfire.core.columns import CELL_KEYS
from campfire.encoders import KINDS, load, load_table
from campfire.encoders.registry import options_of
from campfire.model import MaskedAutoencoder, ModelConfig, save_weights
from campfire.model.released_checkpoint import save_checkpoint
from support.peer_weights import networks, write_weights
from support.raw_tiles import TINY

SET = ["DNA", "AGP", "Mito"]
MODEL = {"image_size": 112, "patch_size": 16, "width": 32, "depth": 1, "heads": 2}
MODEL |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}


def page(repository: Path) -> str:
    return (repository / "docs/encoders.md").read_text(encoding="utf-8")


def examples() -> list[dict[str, Any]]:
    text = page(Path(__file__).parents[2])
    return [yaml.safe_load(found) for found in re.findall(r"\{kind: .*?\}(?=`|\n)", text)]


SHOWN = examples()


@pytest.mark.parametrize("spec", SHOWN, ids=str)
def test_every_shown_config_is_valid(spec: dict[str, Any]) -> None:
    options_of(spec)


def test_every_kind_has_an_example() -> None:
    assert {str(spec["kind"]) for spec in SHOWN} == set(KINDS)


def test_licences_are_in_the_table(repository: Path) -> None:
    for name, kind in KINDS.items():
        if kind.source is not None:
            row = next(line for line in page(repository).splitlines() if f"{{kind: {name}," in line)
            known = kind.source.code_licence.split(" by ")[0]
            assert known in row or "the same" in row, name


@pytest.fixture(scope="module")
def small(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A shown config with small weights, files and networks in place of the ones that it names."""
    folder = tmp_path_factory.mktemp("shown")
    peers = write_weights(folder)
    model = MaskedAutoencoder(ModelConfig(**MODEL), seed=0)
    save_weights(model, folder / "model.safetensors", {"normalisation": "tile", "seed": 0})
    save_checkpoint(MaskedAutoencoder(ModelConfig(**MODEL, rope="none"), seed=0), folder / "campfire.ckpt")
    (code,) = re.findall(r"```python\n(.*?)```", page(repository), flags=re.DOTALL)
    (folder / "my_encoders.py").write_text(code)
    keys = pd.DataFrame(
        [("P1", "A01", "1", 5.0 * n, 7.0 * n) for n in range(1, 4)], columns=["plate", "well", "site", "y", "x"]
    )
    table = keys.assign(feature_0=[0.1, 0.2, 0.3], feature_1=[1.0, 2.0, 3.0])
    table.to_parquet(folder / "theirs.parquet")
    table.to_csv(folder / "theirs.csv", index=False)

    def replaced(spec: dict[str, Any]) -> dict[str, Any]:
        kind = str(spec["kind"])
        changes: dict[str, Any] = dict(peers.get(kind, {}))
        if kind in ("pretrained", "untrained"):
            changes["weights"] = str(folder / "model.safetensors")
        elif kind == "release":
            changes |= {"weights": str(folder / "campfire.ckpt"), "heads": 2, "decoder_heads": 2}
        elif kind == "timm":
            changes |= {"model": TINY, "weights": "random", "size": spec.get("size", 32)}
        elif kind == "masked":
            changes["of"] = {"kind": "intensities"}
        elif kind == "table":
            changes["path"] = str(folder / Path(spec["path"]).name)
        elif kind == "features":
            changes["families"] = ["intensity"]
        elif kind == "python":
            changes["folder"] = str(folder)
        return {**spec, **changes}

    return replaced


@pytest.mark.parametrize("spec", SHOWN, ids=str)
def test_every_shown_config_embeds(
    spec: dict[str, Any], small: Callable[[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = small(spec)
    monkeypatch.chdir(made.pop("folder", "."))
    if spec["kind"] == "table":
        cells = pd.DataFrame(
            [("P1", "A01", "1", n, 5.0 * n, 7.0 * n) for n in range(1, 4)], columns=[*CELL_KEYS, "y", "x"]
        )
        _, vectors, missing, _ = load_table(made).embed_cells(cells)
        assert vectors.shape == (3, 2) and not missing
        return
    encoder = load(made, "cpu")
    tiles = torch.from_numpy(np.random.default_rng(0).integers(200, 4000, (4, 3, 112, 112)).astype(np.uint16))
    if getattr(encoder, "plate_tiles", 0):
        encoder.begin_plate(tiles, SET)  # type: ignore[attr-defined]
    found = encoder.embed(tiles.float() if encoder.normalisation == "counts" else tiles, SET)
    assert found.shape == (4, encoder.dim(SET)) and torch.isfinite(found).all()
    assert torch.unique(found, dim=0).shape[0] == 4  # different tiles differ


def test_peers_are_all_shown() -> None:
    assert set(networks()) <= {spec["kind"] for spec in SHOWN}
