"""Measures of a site, and what is left out for them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from campfire.core.errors import ConfigError
from campfire.images.quality import (
    QualityOptions,
    focus,
    judge_sites,
    measure_site,
    noise_deviation,
    quantiles,
    summarise,
)


def power_law(slope: Any, size: int = 512, seed: int = 0) -> Any:
    """A random image whose power falls with frequency to the power `slope`."""
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    radius[0, 0] = 1
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, radius.shape)
    image = np.fft.irfft2(radius ** (slope / 2) * np.exp(1j * phase), s=(size, size))
    return (image / image.std() * 100 + 1000).astype(np.float32)


@pytest.mark.parametrize("slope", [0, -1, -2, -3])
def test_focus_recovers_a_known_slope(slope: int) -> None:
    assert focus(power_law(slope)) == pytest.approx(slope, abs=0.15)


def test_focus_of_odd_shapes() -> None:
    assert np.isnan(focus(np.full((100, 300), 5, np.uint16)))
    assert focus(power_law(-2)[:200, :333]) == pytest.approx(-2, abs=0.25)


def test_focus_falls_with_blur_on_the_real_field(shared: Path) -> None:
    rng = np.random.default_rng(0)
    for path in sorted((shared / "data/images/s3_mirror").rglob("*ch[1-5]sk1fk1fl1.tiff")):
        image = tifffile.imread(path)
        noise = noise_deviation(image)
        slopes = [focus(image)]
        for sigma in (1, 2, 4):
            blurred = gaussian_filter(image.astype(np.float32), sigma) + rng.normal(0, noise, image.shape)
            slopes.append(focus(blurred))
        assert all(later < earlier - 0.2 for earlier, later in pairwise(slopes)), (path, slopes)


def test_noise_of_a_gradient() -> None:
    rng = np.random.default_rng(0)
    image = np.linspace(100, 5000, 600)[None] + rng.normal(0, 12, (600, 600))
    assert noise_deviation(image) == pytest.approx(12, rel=0.03)
    assert noise_deviation(np.zeros((10, 10))) == 0


def test_quantiles_are_exact() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (99, 101)).astype(np.uint16)
    ordered = np.sort(values.ravel())
    for fraction, value in zip((0.05, 0.5, 0.999), quantiles(values, (0.05, 0.5, 0.999)), strict=True):
        assert value == ordered[int(np.ceil(fraction * values.size)) - 1]


def test_measures_of_a_site() -> None:
    rng = np.random.default_rng(0)
    empty = rng.poisson(300, (400, 400)).astype(np.uint16)
    bright = empty.copy()
    bright[100:140, 100:140] = 65535
    row = measure_site({"DNA": bright, "ER": empty})
    assert row["saturated_DNA"] == 1600 / 160000 and row["saturated_ER"] == 0
    assert row["background_ER"] == pytest.approx(272, abs=2)
    assert row["contrast_DNA"] > 1000 and row["contrast_ER"] < 5
    assert row["empty"] is False
    assert measure_site({"DNA": empty, "ER": bright})["empty"] is True  # the DNA channel decides
    assert measure_site({"DNA": np.full((90, 90), 7, np.uint16)})["empty"] is True
    twelve_bit = QualityOptions(saturation_value=4095)
    assert measure_site({"DNA": np.full((90, 90), 4095, np.uint16)}, twelve_bit)["saturated_DNA"] == 1


def plate(n: int = 40, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "focus_DNA": rng.normal(-3.9, 0.08, n),
            "saturated_DNA": np.zeros(n),
            "saturated_ER": np.zeros(n),
            "empty": np.zeros(n, bool),
            "nuclei": np.full(n, 60),
        }
    )
    for name, (row, value) in columns.items():
        table.loc[row, name] = value
    return table


def test_judgement_gives_the_first_reason() -> None:
    table = plate(empty=(1, True), focus_DNA=(2, -5.5), saturated_ER=(3, 0.5), nuclei=(4, 0))
    table.loc[1, "nuclei"] = 0
    judged = judge_sites(table)
    assert dict(judged.loc[~judged["kept"], "reason"]) == {1: "empty", 2: "blurred", 3: "saturated", 4: "few nuclei"}
    line = summarise(judged)
    assert line.startswith("36 of 40 sites kept") and "1 blurred" in line


def test_thresholds_can_be_set_and_removed() -> None:
    table = plate(focus_DNA=(2, -5.5), saturated_ER=(3, 0.5), nuclei=(4, 900))
    none = QualityOptions(focus_deviations=None, saturated_max=None, nuclei_min=None)
    assert judge_sites(table, none)["kept"].all()
    absolute = judge_sites(table, QualityOptions(focus_deviations=None, focus_min=-5, nuclei_max=500))
    assert dict(absolute.loc[~absolute["kept"], "reason"]) == {2: "blurred", 3: "saturated", 4: "many nuclei"}


def test_small_plates_and_even_plates_lose_no_site_to_chance() -> None:
    assert judge_sites(plate(5, focus_DNA=(2, -5.5)))["kept"].all()  # too few sites to know the plate's spread
    even = plate()
    even["focus_DNA"] = -3.9
    even.loc[0, "focus_DNA"] = -4.0
    assert judge_sites(even)["kept"].all()


def test_options_accept_lists_and_refuse_nonsense() -> None:
    assert QualityOptions(channels=["DNA", "ER"]).channels == ("DNA", "ER")
    with pytest.raises(ConfigError, match="saturated_max"):
        QualityOptions(saturated_max=20)
