"""A run's result in a few lines for the terminal: `campfire summary results/demo`."""

import argparse
import logging
import sys
import textwrap
from pathlib import Path

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError, in_one_line
from campfire.evaluation.statistics import MEAN
from campfire.report import answers
from campfire.report.tables.differences import sentence
from campfire.report.tables.render import interval, load, number

WIDTH = 100
"""Characters of a line in the terminal."""

ONE_RUN = (
    "Each trained encoder is one training run: no interval covers other pretraining seeds. `make claims` repeats the "
    "demo's with five (docs/statistics.md)."
)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def summarise(root: str | Path, protocol: str = "", channels: str = "") -> str:
    """The summary: best encoder, masked reconstruction, accuracies, differences, and paths to the details.

    root: results folder of a run with its tables; else a DataError. protocol: by default that of the ranking, the run's
    leading one. channels: a channel set, by default that of the ranking.
    """
    root = Path(root)
    try:
        accuracies = pd.read_csv(root / "tables/accuracies.csv")
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such table; run the workflow's target `tables` first") from error
    lines = []
    ranking, curves, differences = (
        root / name for name in ("tables/ranking.json", "figures/training_curves.csv", "tables/differences.csv")
    )
    if ranking.is_file():
        lines += ["Which encoder is best?", *_wrapped(load(ranking).answer)]
    if curves.is_file():
        answer = answers.ANSWERS["training_curves"](pd.read_csv(curves))
        lines += ["Did the model learn to fill in what it does not see?", *_wrapped(answer)]
    compared = pd.read_csv(differences) if differences.is_file() else pd.DataFrame()
    protocol = protocol or str((compared if len(compared) else accuracies)["protocol"].iloc[0])
    channels = channels or _leading(accuracies, compared)
    lines += _accuracies(accuracies, protocol, channels)
    if len(compared):
        lines.append("Which differences hold up (mean over the quadrants)?")
        for record in compared[compared["split"] == MEAN].to_dict("records"):
            lines += _wrapped(sentence(record))
        lines += _wrapped(ONE_RUN)
    lines += [
        f"{name}: {root / name}"
        for name in ("page/index.html", "findings.html", "report.html", "tables", "figures")
        if (root / name).exists()
    ]
    return "\n".join(lines)


def _leading(accuracies: pd.DataFrame, compared: pd.DataFrame) -> str:
    """The channel set of the first comparison, else the set of most encoders."""
    if len(compared):
        return str(compared["first"].iloc[0]).partition("/")[2]
    return str(accuracies.groupby("channels")["encoder"].nunique().idxmax())


def _accuracies(accuracies: pd.DataFrame, protocol: str, channels: str) -> list[str]:
    rows = accuracies[(accuracies["protocol"] == protocol) & (accuracies["channels"] == channels)]
    level = f"{100 * float(rows['level'].iloc[0]):g} %" if len(rows) else ""
    name = rows["channel_label"].iloc[0] if len(rows) else channels
    lines = [f"Accuracy on {name} (protocol {protocol}), {level} interval over wells, chance in brackets:"]
    for label, encoder in rows.groupby("label", sort=False):
        lines.append(f"  {label}")
        for record in encoder.to_dict("records"):
            value, bounds = number(record["accuracy"]), interval(record["low"], record["high"])
            lines.append(f"    {QUADRANTS[record['split']]:<28}{value} {bounds} ({number(record['chance'])})")
    return lines


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="campfire summary", description=__doc__)
    parser.add_argument("root", type=Path, help="results folder")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(summarise(given.root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
