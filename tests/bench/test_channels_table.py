"""The tables of the channel bench: ranges, intervals, counts of seeds, equal steps."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

DEFAULT, OTHER = "tile, mean in tile_sd", "tile"


@pytest.fixture
def bench(repository: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(repository / "bench"))
    return runpy.run_path(str(repository / "bench/channels_table.py"))


def line(candidate: str, seed: int, steps: int, error: float, blindness: float) -> dict[str, Any]:
    row: dict[str, Any] = {"data": "demo", "candidate": candidate, "seed": seed, "epochs": 14, "steps": steps}
    for channel in ("DNA", "AGP"):
        row |= {f"masked_error_{channel}": error, f"floor_tile_{channel}": 0.9, f"floor_blind_{channel}": 0.5}
    row |= {"likeness_DNA_AGP": blindness, "likeness_target_DNA_AGP": 0.1, "blindness": blindness}
    return row | {"unseen_masked_error_ER": 0.7, "unseen_floor_tile_ER": 0.8, "unseen_floor_blind_ER": 0.4}


def accuracy(row: dict[str, Any], value: float) -> dict[str, Any]:
    quadrants = ("control_test", "control_test_ood_plate", "heldout_test_ood_both", "heldout_test_ood_compound")
    label = {name: row[name] for name in ("data", "candidate", "seed", "epochs", "steps")}
    return label | {f"probe_{s}_{q}": value for s in ("trained", "unseen") for q in quadrants}


RUNS = [
    *[line(DEFAULT, seed, 100, error, 0.5) for seed, error in enumerate((0.4, 0.5, 0.95))],
    *[line(OTHER, seed, 100, error, 1.0) for seed, error in enumerate((0.6, 0.7, 0.8))],
    *[line(OTHER, seed, 200, 0.3, 1.0) for seed in range(3)],
]


def rows_of(text: str, name: str) -> list[list[str]]:
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row.startswith("|")]
    return [row for row in cells if row[0] == name]


def test_reconstruction_counts_seeds_and_states_ranges_and_floors(bench: dict[str, Any]) -> None:
    text = bench["reconstruction"](pd.DataFrame(RUNS))
    header = rows_of(text, "candidate")[0]
    (default,) = (dict(zip(header, row, strict=True)) for row in rows_of(text, DEFAULT))
    assert default["DNA"] == "0.62 [0.40, 0.95]" and default["ER, unseen"] == "0.70"
    assert [default[c] for c in ("blind", "below floor 1", "below floor 2")] == ["0 of 3", "2 of 3", "1 of 3"]
    short, long = sorted(rows_of(text, OTHER), key=lambda row: int(row[1]))
    assert short[-3:] == ["3 of 3", "3 of 3", "0 of 3"] and long[-1] == "3 of 3"
    assert rows_of(text, "floor 2: mean of channels")[0][2:4] == ["0.50", "0.50"]


def test_interval_is_of_students_t_over_seeds(bench: dict[str, Any]) -> None:
    values = pd.Series([0.4, 0.5, 0.6])  # 4.303 x 0.1 / sqrt(3)
    assert bench["mean_and_interval"](values) == "0.50 ± 0.25"
    assert bench["mean_and_interval"](values[:1]) == "0.40" and bench["mean_and_interval"](values[:0]) == "-"


def test_differences_compare_only_equal_steps(bench: dict[str, Any]) -> None:
    runs = pd.DataFrame(RUNS)
    known = pd.DataFrame([accuracy(row, 0.5 + 0.01 * row["seed"] - 0.1 * (row["candidate"] == OTHER)) for row in RUNS])
    (row,) = rows_of(bench["differences"](runs, known), OTHER)
    assert row[1:3] == ["100", "3, 3"] and row[3].startswith("+0.083 [")
    half = 2.776 * np.sqrt(2 * 0.01**2 / 3)  # equal variances: four degrees of freedom
    assert row[4] == f"-0.100 [{-0.1 - half:+.3f}, {-0.1 + half:+.3f}]"
    (row,) = rows_of(bench["differences"](runs, pd.DataFrame()), OTHER)
    assert row[4:] == ["-", "-"]


def test_lines_become_tables_and_equal_runs_count_once(
    bench: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [{**row, "epochs": 42} for row in RUNS]
    for kind, rows in (("runs", RUNS + again), ("probes", [accuracy(row, 0.5) for row in RUNS])):
        (tmp_path / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["channels_table.py", str(tmp_path)])
    bench["main"]()
    printed = capsys.readouterr().out
    assert "### demo" in printed and rows_of(printed, DEFAULT)[0][-3:] == ["0 of 3", "2 of 3", "1 of 3"]
    assert rows_of(printed, DEFAULT)[1][2] == "3"
