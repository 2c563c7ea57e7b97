"""SVG files of figures: images of cells are short and look the same, everything else is drawn as before."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from campfire.report.figures.style import PAGE, new_figure, save, styled
from campfire.report.figures.svg import compact


def cell(seed: int, side: int = 112) -> NDArray[np.float64]:
    """(side, side, 3) from 0 to 1: a bright nucleus, and noise like that of a camera."""
    y, x = np.mgrid[:side, :side] - side / 2
    nucleus = np.exp(-(x**2 + y**2) / 400)[..., None] * [0.2, 0.45, 1]
    return np.clip(nucleus + np.random.default_rng(seed).normal(0.1, 0.05, (side, side, 3)), 0, 1)


def images(text: str) -> list[tuple[str, Image.Image]]:
    """Kind and picture of each image inside an SVG."""
    found = re.findall(r"data:image/(\w+);base64,([^\"]+)", text)
    return [(kind, Image.open(io.BytesIO(base64.b64decode(data)))) for kind, data in found]


@styled
def draw_sheet(path: Path, rows: int = 10, columns: int = 11) -> Path:
    """The SVG of a sheet of cells, as large as that of a run."""
    figure = new_figure(PAGE, 0.6 * rows)
    for number, axes in enumerate(figure.subplots(rows, columns).ravel()):
        axes.imshow(cell(number), interpolation="antialiased")
        axes.set_axis_off()
    return save(figure, pd.DataFrame({"a": [1]}), path)[1]


def test_a_sheet_of_cells_takes_few_bytes_per_image(tmp_path: Path) -> None:
    path = draw_sheet(tmp_path / "cells")
    found = images(path.read_text())
    assert len(found) == 110 and {kind for kind, _ in found} == {"jpeg"}
    assert path.stat().st_size < 110 * 8_000, "the sheet of a run has 150 images and must stay near 1 MB"
    assert draw_sheet(tmp_path / "again").read_bytes() == path.read_bytes()


def test_an_image_of_cells_looks_the_same() -> None:
    shown = np.rint(255 * cell(1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "PNG")
    text = f'<image href="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"/>'
    ((kind, image),) = images(compact(text))
    coarse = [np.asarray(one, float).reshape(28, 4, 28, 4, 3).mean((1, 3)) for one in (shown, image)]
    assert kind == "jpeg" and np.abs(coarse[0] - coarse[1]).max() < 12
    assert np.abs(coarse[0] - coarse[1]).mean() < 2


@styled
def test_heat_maps_and_lines_are_unchanged(tmp_path: Path) -> None:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.imshow(np.arange(12).reshape(3, 4), interpolation="nearest")
    axes.plot([0, 1], [2, 1])
    path = tmp_path / "plain.svg"
    figure.savefig(path)
    plain, short = path.read_text(), compact(path.read_text())
    assert re.sub(r"\s+", "", short) == re.sub(r"\s+", "", plain) and len(short) < len(plain)


@styled
def test_points_drawn_as_an_image_keep_their_colours(tmp_path: Path) -> None:
    figure = new_figure(3, 3)
    x, y = np.random.default_rng(0).normal(size=(2, 1500))
    axes = figure.subplots()
    axes.scatter(x, y, s=2.2, c=["#0072B2", "#D55E00", "#009E73"] * 500, linewidths=0, rasterized=True)
    path = tmp_path / "points.svg"
    figure.savefig(path)
    ((_, before),), ((kind, after),) = images(path.read_text()), images(compact(path.read_text()))
    assert kind == "png" and after.mode == "P"
    white = [Image.new("RGBA", before.size, "white") for _ in range(2)]
    for sheet, image in zip(white, (before, after), strict=True):
        sheet.alpha_composite(image.convert("RGBA"))
    difference = np.abs(np.asarray(white[0], int) - np.asarray(white[1], int))
    assert difference.mean() < 1.5 and np.percentile(difference, 99) < 30
