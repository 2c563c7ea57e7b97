"""Probe results for tables and figures: one folder per encoder and channel set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from campfire.core.columns import TASK_QUADRANTS
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.evaluation.probes.evaluate import PREDICTION_COLUMNS

SCORE_COLUMNS = ["protocol", "task", "fit", "split", "accuracy", "balanced_accuracy", "macro_f1", "n_cells"]
SCORE_COLUMNS += ["n_train", "n_train_min", "doubt"]

TASKS = {quadrant: task for task, pair in TASK_QUADRANTS.items() for quadrant in pair}
"""The task of each quadrant."""


@dataclass(frozen=True)
class ProbeResult:
    """Scores and predictions of one encoder on one channel set, read on demand."""

    encoder: str
    channels: str
    folder: Path

    def _read(self, name: str, columns: list[str]) -> pd.DataFrame:
        path = self.folder / name
        table = read_table(path)
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise DataError(f"{path}: column {missing[0]} is missing; delete the file and run its probe again")
        if table.empty:
            raise DataError(f"{path}: holds no rows; delete the file and run its probe again")
        return table

    def scores(self) -> pd.DataFrame:
        """`probes/{encoder}/{channels}/scores.parquet`: one row per fit and quadrant."""
        return self._read("scores.parquet", SCORE_COLUMNS)

    def predictions(self, protocol: str | None = None) -> pd.DataFrame:
        """`probes/{encoder}/{channels}/predictions.parquet`: one row per scored cell and fit."""
        table = self._read("predictions.parquet", PREDICTION_COLUMNS)
        if protocol is not None:
            table = table[table["protocol"] == protocol].reset_index(drop=True)
            if table.empty:
                raise DataError(
                    f"{self.folder / 'predictions.parquet'}: has no protocol {protocol}; run the probes under it"
                )
        return table


def probe_results(paths: Iterable[str | Path]) -> list[ProbeResult]:
    """Results in folders named .../{encoder}/{channels}; a path may also be a file in such a folder.

    Paths of the same folder count once; the order is that of the paths.
    """
    found: dict[tuple[str, str], ProbeResult] = {}
    for path in map(Path, paths):
        folder = path.parent if path.suffix == ".parquet" else path
        found.setdefault((folder.parent.name, folder.name), ProbeResult(folder.parent.name, folder.name, folder))
    return list(found.values())


def find(results: Sequence[ProbeResult], encoder: str, channels: str) -> ProbeResult:
    """The result of one encoder and channel set; a DataError lists the available ones."""
    for result in results:
        if (result.encoder, result.channels) == (encoder, channels):
            return result
    there = ", ".join(f"{result.encoder}/{result.channels}" for result in results) or "none"
    raise DataError(f"no probe of encoder {encoder} on channels {channels}; there are: {there}")
