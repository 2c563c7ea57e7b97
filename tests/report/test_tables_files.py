"""Tables in print: text in every format, the page of findings, errors a user can act on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.report import findings, tables
from campfire.report.tables.render import interval, load, number, tex_escape
from support.tables_synthetic import (
    OPTIONS,
    quadrants,
    write_probe,
)


@pytest.mark.parametrize("suffix", ["csv", "md", "tex", "html"])
def test_every_format_holds_the_values_and_is_reproducible(accuracies: Any, tmp_path: Path, suffix: str) -> None:
    table = tables.table_3_1.build(accuracies.data, OPTIONS)
    paths = [path for name in ("a", "b") for path in tables.save(table, tmp_path / name / "table_3_1")]
    first, second = (path.read_text() for path in paths if path.suffix == f".{suffix}")
    assert first == second
    value = {
        "csv": "0.75,",
        "md": "**0.750 ± 0.050**",
        "tex": r"\textbf{0.750 $\pm$ 0.050}",
        "html": "<b>0.750 ± 0.050</b>",
    }
    assert value[suffix] in first
    if suffix == "tex":
        assert r"\toprule" in first and first.count("{") == first.count("}") and "±" not in first
    if suffix == "csv":
        again = pd.read_csv(paths[0])
        np.testing.assert_array_equal(again["accuracy"], table.data["accuracy"])  # full precision


def test_tables_from_the_csv_equal_tables_from_memory(accuracies: Any, tmp_path: Path) -> None:
    tables.save(accuracies, tmp_path / "accuracies")
    again = pd.read_csv(tmp_path / "accuracies.csv")
    for module in (tables.table_3_1, tables.table_3_2, tables.protocols):
        assert module.build(again, OPTIONS).layout.equals(module.build(accuracies.data, OPTIONS).layout)


def test_a_saved_table_is_loaded_as_it_was(accuracies: Any, tmp_path: Path) -> None:
    table = tables.table_3_1.build(accuracies.data, OPTIONS)
    tables.save(table, tmp_path / "table_3_1")
    again = load(tmp_path / "table_3_1.json")
    assert (again.title, again.answer, again.notes) == (table.title, table.answer, table.notes)
    assert again.layout.equals(table.layout) and len(again.data) == len(table.data)
    (tmp_path / "table_3_1.csv").unlink()
    with pytest.raises(DataError, match=r"table_3_1\.json: not a saved table .*make the table again"):
        load(tmp_path / "table_3_1.json")


def test_findings_read_as_a_story(accuracies: Any, results: Any, tmp_path: Path) -> None:
    tables.save(tables.table_3_1.build(accuracies.data, OPTIONS), tmp_path / "table_3_1")
    tables.save(tables.differences.build(results, OPTIONS), tmp_path / "differences")
    from PIL import Image

    Image.new("RGB", (200, 100)).save(tmp_path / "ood_gap.png")
    gaps = tables.gaps.build(results, OPTIONS).data
    gaps.to_csv(tmp_path / "ood_gap.csv", index=False)
    page = findings.build([*tmp_path.glob("*.json"), *tmp_path.glob("*.png")], "Demo", OPTIONS)
    body = page[page.index("<section") :]
    caption = "n: 18 to 24 wells on ID plates, 18 to 24 wells on OOD plates."
    order = [
        body.index(text)
        for text in (
            "<h2>Plates and compounds",
            "above chance",
            'width="140"',
            caption,
            "<h3>Table 3.1",
            "<h2>Differences",
        )
    ]
    assert order == sorted(order)  # chapter, answer, figure, caption, table, next chapter
    assert "+0.150" in body[order[-1] :] and 'href="#plates-and-compounds"' in page[: page.index("<section")]
    assert "<h2>Channels" not in page and "http" not in page and "Protocol release" in page
    (tmp_path / "ood_gap.csv").unlink()
    with pytest.raises(DataError, match=r"ood_gap\.csv: the data behind"):
        findings.build([tmp_path / "ood_gap.png"], "Demo")
    with pytest.raises(DataError, match="make tables and figures first"):
        findings.build([tmp_path / "other.png"], "Demo")
    (tmp_path / "leakage.json").write_text("<html></html>")
    with pytest.raises(DataError, match=r"leakage\.json: not a saved table"):
        findings.build([tmp_path / "leakage.json"], "Demo")


def test_numbers_in_print() -> None:
    assert number(-0.0312) == "−0.031" and number(0.0312, signed=True) == "+0.031"
    assert number(-0.0001) == "0.000" and number(float("nan")) == "–"
    assert interval(-0.1, 0.2, 2, signed=True) == "[−0.10, +0.20]" and interval(float("nan"), 1) == ""
    assert tex_escape("a_b & 95 %") == r"a\_b \& 95 \%"


def test_errors_name_the_file(tmp_path: Path, accuracies: Any, results: Any) -> None:
    with pytest.raises(DataError, match=r"probes/x/DNA/scores\.parquet.*run the step"):
        tables.accuracies.build(tables.probe_results([tmp_path / "probes" / "x" / "DNA"]), OPTIONS)
    folder = write_probe(tmp_path, "e", "DNA", {"release": quadrants(5, 5, 5, 5)})
    pd.read_parquet(folder / "scores.parquet").drop(columns="macro_f1").to_parquet(folder / "scores.parquet")
    with pytest.raises(DataError, match=r"scores\.parquet: column macro_f1 is missing"):
        tables.accuracies.build(tables.probe_results([folder]), OPTIONS)
    with pytest.raises(DataError, match="no encoder was scored on RNA"):
        tables.table_3_1.build(accuracies.data, tables.TableOptions(id_channels="RNA"))
    with pytest.raises(DataError, match="has no protocol paper"):
        tables.gaps.build(results, tables.TableOptions(protocol="paper"))


def test_named_channel_sets_are_printed_in_the_papers_names() -> None:
    options = tables.TableOptions(channel_sets={"unseen": ["DNA", "ER", "RNA"]})
    assert options.channel_label("unseen") == "Nu + ER + cyRNA"
    assert options.channel_label("DNA_AGP") == "Nu + Ac"
    assert options.channel_label("mystery") == "mystery"
    other = tables.TableOptions(paper_screen=False, channel_labels={"AGP": "Phalloidin"})
    assert other.channel_label("DNA_AGP_Mito") == "DNA + Phalloidin + Mito", "the user's names on another screen"
    assert options.compound_name("JCP2022_033924") == "DMSO" and options.compound_name("X1") == "X1"
    assert tables.TableOptions(compound_labels={"X1": "nocodazole"}).compound_name("X1") == "nocodazole"


def test_another_screen_shows_no_value_of_the_paper(accuracies: Any) -> None:
    options = tables.TableOptions(encoders=["campfire"], paper={"campfire": "Campfire"}, paper_screen=False)
    for module in (tables.table_3_1, tables.table_3_2):
        table = module.build(accuracies.data, options)
        assert set(table.layout[""]) == {"this run", "95 % interval"} and table.data["paper_mean"].isna().all()
        assert "paper" not in " ".join([table.title, *table.notes, table.answer]).lower()


def test_no_torch_is_imported() -> None:
    code = "import campfire.report.tables, campfire.report.figures, sys; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)
