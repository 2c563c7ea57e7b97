"""Figures: what is drawn equals the data, files are sound and reproducible, errors say what to do."""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from campfire.core.errors import DataError
from campfire.report import answers, captions, catalogue, figures, findings, tables
from campfire.report.figures.figure_2_1 import NAMES
from campfire.report.figures.style import SPLIT_COLOURS
from support.figures_synthetic import NAMES_OF_ALL, OPTIONS, every_figure, metrics, snapshots
from support.tables_synthetic import predictions, quadrants, wells, write_probes, zprime


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tables.probe_results(write_probes(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="module")
def accuracies(results: Any) -> Any:
    return tables.accuracies.build(results, OPTIONS).data


@pytest.fixture(scope="module")
def drawn(results: Any, accuracies: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return every_figure(results, accuracies, tmp_path_factory.mktemp("figures"))


def test_every_figure_of_the_findings_has_a_caption_with_what_stands_behind_it(drawn: dict[str, Any]) -> None:
    shown = {name for chapter in findings.CHAPTERS for name in (*chapter.figures, *chapter.pictures)}
    assert shown == {entry.name for entry in catalogue.FIGURES} - {"plate_layout"}, "every figure has its chapter"
    texts = {
        name: f"{captions.text('figure', name, OPTIONS)} {answers.counts(name, drawn[name][1])}"
        for name in shown & set(drawn)
    }
    assert texts["figure_3_4"].endswith("n: 2 fits, 18 to 24 wells, 180 to 240 cells.")
    assert "Intervals are 95 % percentile intervals of" in texts["figure_3_4"]
    assert texts["figure_2_1"].endswith("n: 43 wells.") and "Protocol: release." in texts["confusion"]
    assert "Intervals are" not in texts["figure_3_5"] and "n: 8 wells of the reference" in texts["figure_3_5"]


@pytest.mark.parametrize("name", NAMES_OF_ALL)
def test_files_are_sound_and_the_csv_redraws_the_figure(drawn: dict[str, Any], name: Any, tmp_path: Path) -> None:
    module, data = drawn[name]
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):  # a reader's own settings change nothing
        first = figures.save(module.draw(data), data, tmp_path / "a" / name)
    again = pd.read_csv(tmp_path / "a" / f"{name}.csv", float_precision="round_trip")
    # Drawn a second time from the csv alone: the csv holds all that is drawn, and equal data give equal bytes.
    second = figures.save(module.draw(again), again, tmp_path / "b" / name)
    assert [path.suffix for path in first] == [".pdf", ".svg", ".png", ".csv"]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.suffix
    pdf, svg, png = (path.read_bytes() for path in first[:3])
    assert pdf.startswith(b"%PDF") and b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded
    assert b"CreationDate" not in pdf
    assert b"<svg" in svg and b"<dc:date>" not in svg and b"font-family" not in svg
    image = Image.open(io.BytesIO(png))
    assert 650 < image.width <= 1450 and image.height > 300  # a column or a page at 200 dpi
    assert np.asarray(image.convert("L")).std() > 10


@pytest.mark.parametrize("name", NAMES_OF_ALL)
def test_nothing_is_cut_off_and_texts_do_not_collide(drawn: dict[str, Any], name: Any) -> None:
    module, data = drawn[name]
    figure = module.draw(data)
    figure.draw_without_rendering()
    figure.draw_without_rendering()  # as `save` does
    renderer = figure.canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    ticks = {
        id(label)
        for axes in figure.findobj(mpl.axes.Axes)  # bars inside panels too
        for axis in (axes.xaxis, axes.yaxis)
        for label in (*axis.get_ticklabels(), *axis.get_ticklabels(minor=True))
    }
    boxes = []
    for text in figure.findobj(mpl.text.Text):
        box = text.get_window_extent(renderer)
        # Labels of ticks beyond the limits of an axis exist, but are not drawn.
        if not text.get_text().strip() or not text.get_visible() or id(text) in ticks:
            continue
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{text.get_text()!r} leaves the figure: {box}"
        boxes.append((text.get_text(), box.shrunk(0.9, 0.9)))
    for i, (words, box) in enumerate(boxes):
        for others, other in boxes[:i]:
            assert not box.overlaps(other), f"{words!r} lies on {others!r}"


def test_figure_2_1_is_the_assignment(drawn: dict[str, Any]) -> None:
    _, data = drawn["figure_2_1"]
    assert len(data) == 6 * 7  # plates x compounds
    cell = data.set_index(["Metadata_JCP2022", "Metadata_Plate"])
    assert cell.loc[("C2", "P1"), "split"] == "train" and cell.loc[("C2", "P2"), "split"] == "val"
    assert cell.loc[("H1", "P5"), "split"] == "test_ood_both"
    # The surplus well of C1 on P1 does not hide its assigned well; on an OOD plate both wells count.
    assert cell.loc[("C1", "P1"), "split"] == "train" and cell.loc[("C1", "P1"), "wells"] == 1
    assert cell.loc[("C1", "P4"), "wells"] == 2
    assert list(dict.fromkeys(data["compound_group"])) == ["control", "in-distribution", "held-out"]
    figure = figures.figure_2_1.draw(data)
    texts = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    assert "3 OOD\nplates" in texts and "4 OOD compounds" in texts and "1 control" in texts
    assert f"{NAMES['test_ood_plate']} (10 wells)" in texts


def test_figure_2_1_on_the_real_split(shared: Path) -> None:
    table = pd.read_parquet(shared / "data/official/split/target2.parquet")
    names = {
        "test_out_plate_": "test_ood_plate",
        "test_out_all_": "test_ood_both",
        "test_out_compound": "test_ood_compound",
    }
    table["split"] = table["split"].replace({**names, "NaN": "unused"})
    data = figures.figure_2_1.prepare(table.assign(Metadata_PlateType="TARGET2"))
    assert data["Metadata_JCP2022"].nunique() == 302 and data["Metadata_Plate"].nunique() == 25
    assert len(data) == 302 * 25 - 1  # one plate lacks one compound
    wells_of = data.groupby("split")["wells"].sum()
    assert wells_of.to_dict() == {
        "train": 3388, "val": 484, "test": 967, "test_ood_plate": 1605, "test_ood_compound": 1260, "test_ood_both": 315,
    }  # fmt: skip
    assert figures.figure_2_1.draw(data).get_size_inches()[0] == pytest.approx(7.2)


@pytest.mark.parametrize("mask", [True, False])
def test_figure_3_3_errors_and_scaling(tmp_path: Path, mask: bool) -> None:
    arrays = snapshots(tmp_path / "s.npz", mask)
    data = figures.figure_3_3.prepare(figures.figure_3_3.read_snapshots(tmp_path / "s.npz"), epochs=2)
    errors = data[data["panel"] == "reconstruction"].groupby("epoch")["error"].first()
    spread = arrays["target"][0, 0].var()
    assert errors.to_dict() == pytest.approx(
        {1: 1.0 / spread, 20: 0.0625 / spread}, rel=1e-4
    )  # first and last of three epochs
    target = data[(data["panel"] == "target") & (data["tile"] == 0) & (data["channel"] == "DNA")]
    pixels = target.sort_values("y")[[f"x{x}" for x in range(28)]].to_numpy()
    low, high = np.percentile(arrays["target"][0, 0], [0.5, 99.7])
    np.testing.assert_allclose(pixels, np.clip((arrays["target"][0, 0] - low) / (high - low), 0, 1) * 255, atol=0.51)
    masked = data[(data["panel"] == "masked") & (data["tile"] == 1) & (data["channel"] == "Mito")]
    hidden = masked.sort_values("y")[[f"x{x}" for x in range(28)]].to_numpy() == figures.figure_3_3.MASKED
    assert hidden[:14].all() and not hidden[14:].any()
    first = data[(data["panel"] == "reconstruction") & (data["tile"] == 0) & (data["channel"] == "DNA")]
    shown = first[first["epoch"] == 1].sort_values("y")[[f"x{x}" for x in range(28)]].to_numpy()
    assert np.array_equal(shown[14:], pixels[14:]) and (shown[:14] >= pixels[:14]).all()  # what was seen is as given
    assert (shown[:14] > pixels[:14]).any()
    assert set(data["name"]) == {"P1 A01", "P2 B02"}


def test_figure_3_3_draws_channels_in_rows(drawn: dict[str, Any]) -> None:
    """A coloured row and one per channel for each tile, so that channels predicted alike are seen to be."""
    module, data = drawn["figure_3_3"]
    figure = module.draw(data)
    assert len(figure.axes) == 2 * (1 + 2) * 5
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (28, 28, 3) and np.ptp(shown[:14]) == 0  # masked half is plain grey
    assert [axes.get_ylabel() for axes in figure.axes[::5]] == ["P1\nA01", "Nu", "M", "P2\nB02", "Nu", "M"]
    image = np.random.default_rng(2).normal(size=(1, 1, 8, 8)).astype(np.float32)
    one_channel = {"epochs": np.array([1]), "target": image, "masked": 0 * image, "reconstruction": image[None]}
    one_channel |= {"channels": np.array(["DNA"])}
    own = module.prepare(one_channel, options=tables.TableOptions(channel_labels={"DNA": "Hoechst"}))
    assert set(own["channel_label"]) == {"Hoechst"} and len(module.draw(own).axes) == 3


def test_figure_3_4_bars_are_the_accuracies(drawn: dict[str, Any]) -> None:
    module, data = drawn["figure_3_4"]
    figure = module.draw(data)
    left, right = figure.axes
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["Nu", "Ac", "M", "Nu\nAc", "Nu\nAc\nM"]
    heights = [patch.get_height() for patch in left.patches]
    assert heights == pytest.approx([0.35, 0.45, 0.55, 0.65, 0.75, 0.35, 0.45, 0.45, 0.55, 0.65])
    assert left.get_ylim()[0] == right.get_ylim()[0] == 0
    chance = [line for line in left.lines if line.get_label() == "Chance (1/3)"]
    assert chance[0].get_ydata()[0] == pytest.approx(1 / 3)
    errors = left.collections[0].get_segments()[0][:, 1]
    first = data[(data["channels"] == "DNA") & (data["split"] == "test")].iloc[0]
    assert sorted(errors) == pytest.approx([first["low"], first["high"]])


def test_figure_3_4_says_what_is_missing(accuracies: Any) -> None:
    with pytest.raises(DataError, match="no scores on all_five; add the channel set"):
        figures.figure_3_4.prepare(accuracies, "campfire", "release", channel_sets=["DNA", "all_five"])
    with pytest.raises(DataError, match="encoder nobody under protocol release"):
        figures.figure_3_4.prepare(accuracies, "nobody", "release")


def test_unbalanced_samples_show_the_largest_class(accuracies: Any) -> None:
    data = figures.figure_3_4.prepare(accuracies, "campfire", "release").assign(majority=0.8)
    labels = [line.get_label() for line in figures.figure_3_4.draw(data).axes[0].lines]
    assert "Always the largest class" in labels


def test_figure_3_5_cells_and_clip(drawn: dict[str, Any]) -> None:
    module, data = drawn["figure_3_5"]
    figure = module.draw(data, low=-1.0)
    texts = [text.get_text() for text in figure.axes[0].texts]
    # neg-M1 to neg-M2, pos-M1, pos-M2: 0.9 - 0.45 for each step between groups; the diagonal stays empty.
    assert len(texts) == 12 and texts[:3] == ["0.45", "0.00", "−0.45"]
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert {(image.norm.vmin, image.norm.vmax) for image in images[:4]} == {(-1.0, 1.0)}
    assert "−∞" in [text.get_text() for text in figure.axes[1].texts]
    five = {f"e{i}": zprime() for i in range(5)}
    tall = module.draw(module.prepare(five))
    assert tall.get_size_inches()[1] > tall.get_size_inches()[0]


def test_training_curves_lines(drawn: dict[str, Any]) -> None:
    module, data = drawn["training_curves"]
    assert set(data["quantity"]) == {"loss", "lr", "tiles_per_s"}
    loss = module.draw(data).axes[0].lines
    assert len(loss) == 2 and list(loss[0].get_ydata()) == pytest.approx([1 / e for e in range(1, 9)])
    with pytest.raises(DataError, match="holds no epoch"):
        module.prepare({"run": metrics().iloc[:0]})


def test_ood_gap_points(drawn: dict[str, Any]) -> None:
    module, data = drawn["ood_gap"]
    axes = module.draw(data).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["Campfire", "untrained", "dino"]
    notes = [text.get_text() for text in axes.texts]
    assert any(text.startswith("+0.100\n[") for text in notes)
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlabel() == "Accuracy (single cells)"
    uneven = module.draw(data.assign(metric="balanced_accuracy"))
    assert uneven.axes[0].get_xlabel() == "Balanced accuracy (single cells)"


def test_claims_keep_zero_in_sight(drawn: dict[str, Any]) -> None:
    module, data = drawn["claims"]
    axes = module.draw(data).axes[0]
    low, high = axes.get_xlim()
    assert low < 0 < high
    assert sum("+0.150" in text.get_text() for text in axes.texts) >= 1


def test_confusion_rows_sum_to_one(drawn: dict[str, Any]) -> None:
    module, data = drawn["confusion"]
    sums = data.groupby(["split", "truth"])["share"].sum()
    np.testing.assert_allclose(sums, 1)
    right = data[(data["split"] == "test") & (data["truth"] == data["predicted"])]
    assert right["share"].tolist() == pytest.approx([0.75] * 3)
    with pytest.raises(DataError, match="protocol paper"):
        module.prepare(predictions(quadrants(5, 5, 5, 5), "release"), "paper")


def test_plate_layout_places_wells(drawn: dict[str, Any]) -> None:
    module, data = drawn["plate_layout"]
    cell = data.set_index(["measure", "Metadata_Well"])
    assert cell.loc[("nuclei", "B04"), "value"] == 80 and cell.loc[("nuclei", "B04"), "sites"] == 2
    assert cell.loc[("kept", "A03"), "value"] == 0 and cell.loc[("focus_DNA", "A01"), "value"] == -3.5
    assert (cell.loc[("nuclei", "B04"), "row"], cell.loc[("nuclei", "B04"), "column"]) == (1, 3)
    shown = module.draw(data).axes[0].images[0].get_array()
    assert shown.shape == (8, 12) and shown[1, 3] == 80 and shown.mask[7, 11]


def test_damaged_snapshots_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        figures.figure_3_3.read_snapshots(tmp_path / "snapshots.npz")
    (tmp_path / "snapshots.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match=r"snapshots\.npz: not a readable npz"):
        figures.figure_3_3.read_snapshots(tmp_path / "snapshots.npz")
    np.savez(tmp_path / "other.npz", target=np.zeros((1, 1, 2, 2)))
    with pytest.raises(DataError, match="lacks `channels`"):
        figures.figure_3_3.read_snapshots(tmp_path / "other.npz")


def test_no_plates_of_the_type() -> None:
    with pytest.raises(DataError, match="no wells on TARGET3 plates"):
        figures.figure_2_1.prepare(wells(), plate_type="TARGET3")


def test_split_colours_differ_for_colour_blind_readers() -> None:
    """The quadrants stay apart when red and green cones are missing (Machado et al. 2009, full deficiency)."""
    views = [
        np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),  # no red cones
        np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),  # no green cones
    ]
    colours = {name: np.array(mpl.colors.to_rgb(value)) ** 2.2 for name, value in SPLIT_COLOURS.items()}
    for view in views:
        seen = [np.clip(view @ colour, 0, 1) ** (1 / 2.2) for colour in colours.values()]
        apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(apart) > 0.12


def test_names_of_the_users_are_drawn_as_they_are() -> None:
    """A $ in a name is no formula: unbalanced ones would fail, pairs would be drawn as another name."""

    @figures.style.styled
    def drawn() -> list[str]:
        figure = figures.style.new_figure(2, 2)
        axes = figure.subplots()
        text = axes.set_title("$\\undefined{ $M_1$ {x}")
        figure.canvas.draw()
        return [str(text.get_parse_math()), text.get_text()]

    assert drawn() == ["False", "$\\undefined{ $M_1$ {x}"]
