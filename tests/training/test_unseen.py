"""What a model fills in on unseen wells and channels, and what its embedding depends on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from campfire.core.errors import DataError
from campfire.model import ModelConfig, build_model
from campfire.report.figures import save, unseen
from campfire.report.tables.inputs import Settings
from campfire.report.tables.options import TableOptions
from campfire.training.unseen import choose_rows, occlusion

SMALL = ModelConfig(
    image_size=28, patch_size=14, width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1,
    decoder_heads=2,
)  # fmt: skip


def test_held_out_compounds_of_test_wells_come_first() -> None:
    wells = [f"A{k:02d}" for k in range(1, 5)]
    index = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": np.repeat(wells, 5), "Metadata_Site": "1"})
    index["Metadata_Nucleus"] = index["row"] = np.arange(20)
    roles = pd.DataFrame(
        {
            "Metadata_Plate": "P",
            "Metadata_Well": wells,
            "Metadata_JCP2022": ["A", "B", "H", "T"],
            "split": ["test_ood_plate", "test_ood_plate", "test_ood_both", "train"],
        }
    )
    rows = choose_rows(index, roles, 2)
    assert 10 <= rows[0] < 15 and rows[1] < 10, "the held-out compound, then another one"
    assert sorted(rows) == list(range(15)), "no tile of a training well"
    with pytest.raises(DataError, match="no tile of a test well"):
        choose_rows(index, roles.assign(split="train"), 2)


def test_occlusion_is_zero_where_nothing_is_hidden() -> None:
    model = build_model(SMALL, seed=0).eval()
    images = torch.zeros(1, 2, 28, 28)
    images[0, 0, :14, :14] = torch.randn(14, 14, generator=torch.Generator().manual_seed(0))
    images[0, 0] -= images[0, 0].mean()
    found = occlusion(model, images, torch.tensor([0, 1]))
    assert found.shape == (1, 3, 2, 2)
    assert found[0, 1, 0, 0] > 1e-6 and found[0, 1, 0, 0] == found[0, 1].max(), "the patch that holds something"
    assert np.abs(found[0, 2]).max() < 1e-6, "an empty channel has nothing to hide"


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(1, 3, 28, 28)).astype(np.float32)
    mask = np.zeros((1, 3, 28, 28), bool)
    mask[..., :14] = True
    return {
        "channels": np.array(["DNA", "AGP", "ER"]), "seen": np.array([True, True, False]), "target": target,
        "reconstruction": np.where(mask, 0, target + 9).astype(np.float32), "mask": mask,
        "occlusion": rng.uniform(0, 1, (1, 3, 2, 2)).astype(np.float32), "Metadata_Plate": np.array(["P"]),
        "Metadata_Well": np.array(["A01"]),
    }  # fmt: skip


def test_errors_are_of_masked_pixels_and_in_units_of_the_target(tmp_path: Path) -> None:
    given = arrays()
    data = unseen.prepare(given, TableOptions(paper_screen=False))
    rows = data[data["panel"] == "reconstruction"].drop_duplicates("channel")
    expected = (given["target"][0, :, :, :14] ** 2).mean((1, 2)) / given["target"][0].var((1, 2))
    assert np.allclose(rows["error"], expected, atol=2e-3), "visible pixels do not count"
    pixels = data[data["panel"] == "error"].filter(regex=r"^x\d+$").to_numpy()
    assert (pixels[:, 14:] == unseen.MASKED).all() and (pixels[:, :14] >= 0).all()
    assert set(data.loc[data["panel"] == "occlusion", "channel"]) == {"DNA", "AGP"}
    np.savez(tmp_path / "unseen.npz", **given)
    drawn = unseen.make({"unseen": [str(tmp_path / "unseen.npz")]}, Settings(TableOptions(paper_screen=False)))
    assert drawn.data.equals(data)
    figure = drawn.figure
    texts = [axes.get_ylabel() for axes in figure.axes]
    assert "P A01\nDNA" in texts and "ER\n(unseen)" in texts
    assert all(path.stat().st_size for path in save(figure, data, tmp_path / "unseen"))
