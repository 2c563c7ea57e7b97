"""Which encoder is best: order, paired difference, and a sentence that says no more than the interval shows."""

from pathlib import Path

import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.report import summary, tables
from campfire.report.tables import ranking
from support.tables_synthetic import quadrants, write_probe, write_probes

OPTIONS = tables.TableOptions(labels={"campfire": "Campfire", "untrained": "Untrained twin"}, replicates=200)


def test_encoders_stand_in_the_order_of_their_means(tmp_path: Path) -> None:
    results = tables.probe_results(write_probes(tmp_path))
    table = ranking.build(results, OPTIONS)
    assert list(table.data["encoder"]) == ["campfire", "dino", "untrained"]
    assert table.data["mean"].tolist() == pytest.approx([0.6, 0.575, 0.45])
    assert table.data["behind"].tolist()[1:] == pytest.approx([0.025, 0.15])
    assert list(table.layout["Rank"]) == ["1", "2", "3"] and table.layout["Best minus this"].iloc[0] == "–"
    assert table.answer.startswith("Campfire has the highest mean over the quadrants on Nu + Ac + M (0.600)")
    assert "Untrained twin (+0.150" in table.answer


def test_a_baseline_that_wins_is_said_to_win(tmp_path: Path) -> None:
    folders = [
        write_probe(tmp_path, name, "DNA_AGP_Mito", {"release": quadrants(*values)})
        for name, values in (("campfire", (4, 4, 3, 3)), ("features", (8, 8, 7, 7)), ("same", (8, 8, 7, 7)))
    ]
    table = ranking.build(tables.probe_results(folders), OPTIONS)
    assert table.answer.startswith("features has the highest mean")
    assert "it beats Campfire (+0.400" in table.answer and "no difference is shown to same" in table.answer
    alone = ranking.build(tables.probe_results(folders[:1]), OPTIONS)
    assert alone.answer == "Campfire is the only encoder (mean over the quadrants 0.400)."
    with pytest.raises(DataError, match="no encoder was scored on DNA"):
        ranking.build(tables.probe_results(folders), tables.TableOptions(id_channels="DNA"))


def test_the_summary_names_the_winner_and_what_was_filled_in(tmp_path: Path) -> None:
    results = tables.probe_results(write_probes(tmp_path))
    accuracies = tables.accuracies.build(results, OPTIONS)
    tables.save(accuracies, tmp_path / "tables/accuracies")
    assert "Accuracy on" in summary.summarise(tmp_path)
    tables.save(ranking.build(results, OPTIONS), tmp_path / "tables/ranking")
    tables.save(tables.differences.build(results, OPTIONS), tmp_path / "tables/differences")
    values = {"masked_error": (0.5, 0.9), "floor_tile": (0.8, 0.8), "floor_blind": (0.6, 0.7)}
    rows = [
        ("run", quantity, "val", epoch, channel, value + (2 - epoch) * (quantity == "masked_error"))
        for quantity, pair in values.items()
        for channel, value in zip(("DNA", "Mito"), pair, strict=True)
        for epoch in (1, 2)
    ]
    rows += [("run", "loss", "val", epoch, "", 1.0 / epoch) for epoch in (1, 2)]
    columns = ["run", "quantity", "split", "epoch", "channel", "value"]
    (tmp_path / "figures").mkdir()
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "figures/training_curves.csv", index=False)
    said = " ".join(summary.summarise(tmp_path).split())
    assert "Which encoder is best? Campfire has the highest mean" in said
    assert "Run run fills in 1 of 2 channels better than the channel's mean tile, and 1 better" in said
    assert "DNA 0.50 (mean tile 0.80, channel-blind 0.60); Mito 0.90" in said
    assert "went from 1.000 (epoch 1) to 0.500 (epoch 2)" in said and "Which differences hold up" in said
    assert "no interval covers other pretraining seeds" in " ".join(said.split())
    with pytest.raises(DataError, match="run the workflow's target `tables` first"):
        summary.summarise(tmp_path / "nowhere")
