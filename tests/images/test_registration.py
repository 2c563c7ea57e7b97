"""Channels that are shifted, mirrored, turned or misnamed are noticed; those of real fields are not accused."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from campfire.images.nuclei import segment_plate
from campfire.images.registration import choose_sites, judge_channels, relate
from support.nuclei_fields import CHANNEL_FILES, simulate_field, write_folder


def cells(seed: int) -> dict[str, NDArray[np.uint16]]:
    """DNA, and ER in the cell bodies around the nuclei, a little aside of them."""
    dna, labels = simulate_field((400, 420), 20, 22, seed=seed)
    rng = np.random.default_rng(seed)
    body = np.zeros(dna.shape, np.float32)
    for n, box in enumerate(ndimage.find_objects(labels), 1):
        y, x = (float(side.start + side.stop) / 2 + rng.normal(0, 4) for side in box)
        rows, columns = np.ogrid[: dna.shape[0], : dna.shape[1]]
        body += np.exp(-(((rows - y) / rng.uniform(14, 20)) ** 2 + ((columns - x) / rng.uniform(14, 20)) ** 2)) * (
            n > 0
        )
    return {"DNA": dna, "ER": rng.poisson(200 + 1500 * body).astype(np.uint16)}


@pytest.fixture(scope="module")
def fields() -> list[dict[str, NDArray[np.uint16]]]:
    return [cells(seed) for seed in range(10)]


def judged(fields: list[dict[str, NDArray[np.uint16]]], change: Any) -> list[str]:
    return judge_channels([relate({"DNA": site["DNA"], "ER": change(site["ER"])}, "DNA") for site in fields], "DNA")


def test_channels_that_lie_on_each_other(fields: list[dict[str, NDArray[np.uint16]]]) -> None:
    assert judged(fields, lambda image: image) == []
    assert judged(fields[:4], lambda image: np.roll(image, 20, 0)) == []  # too few sites to say


def test_a_shifted_channel(fields: list[dict[str, NDArray[np.uint16]]]) -> None:
    (found,) = judged(fields, lambda image: np.roll(image, (16, -12), (0, 1)))
    down, right = (int(number) for number in re.findall(r"(\d+) px", found))
    assert "px down" in found and "px left of DNA (over 10 sites)" in found
    assert abs(down - 16) <= 4 and abs(right - 12) <= 4


@pytest.mark.parametrize(
    "change, word",
    [
        (np.fliplr, "mirrored left to right"),
        (np.flipud, "mirrored top to bottom"),
        (lambda image: np.rot90(image, 2), "turned by 180 degrees"),
    ],
)
def test_a_mirrored_or_turned_channel(fields: list[dict[str, NDArray[np.uint16]]], change: Any, word: str) -> None:
    (found,) = judged(fields, change)
    assert f"ER seems {word} against DNA" in found


def test_channels_that_changed_names(fields: list[dict[str, NDArray[np.uint16]]]) -> None:
    swapped = [relate({"DNA": site["ER"], "ER": site["DNA"]}, "DNA") for site in fields]
    (found,) = judge_channels(swapped, "DNA")
    assert "ER looks like the nuclear stain and DNA does not" in found


def test_real_fields_are_not_accused(shared: Path) -> None:
    """Quarters of the real field, each as if it were a site of its own, and with a shift that is noticed."""
    images = {
        channel: tifffile.imread(next((shared / "data/images/s3_mirror").rglob(f"*ch{number}sk1fk1fl1.tiff")))
        for channel, number in CHANNEL_FILES.items()
    }
    parts = [np.s_[y : y + 540, x : x + 540] for y in (0, 270, 540) for x in (0, 270, 540)]
    sites = [{channel: image[part] for channel, image in images.items()} for part in parts]
    assert judge_channels([relate(site, "DNA") for site in sites], "DNA") == []
    for site in sites:
        site["Mito"] = np.roll(site["Mito"], 14, 0)
    (found,) = judge_channels([relate(site, "DNA") for site in sites], "DNA")
    assert "Mito lies about 12 px down and 2 px left of DNA" in found


def test_the_nuclei_step_says_so(
    fields: list[dict[str, NDArray[np.uint16]]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [("A01", str(n)) for n in range(1, 11)]
    write_folder(
        tmp_path / "P1", {key: {**site, "ER": site["ER"][::-1]} for key, site in zip(keys, fields, strict=True)}
    )
    with caplog.at_level(logging.WARNING):
        segment_plate(tmp_path / "P1", 1.0)
    assert "plate P1: ER seems mirrored top to bottom against DNA" in caplog.text
    assert choose_sites(3000).size == 24 and choose_sites(5).tolist() == [0, 1, 2, 3, 4]
