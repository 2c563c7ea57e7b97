"""A run's result in a few lines for the terminal: `campfire summary results/demo`."""

import argparse
import logging
import sys
from pathlib import Path

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError, in_one_line
from campfire.report.tables.render import interval, number


def summarise(root: str | Path, protocol: str = "", channels: str = "DNA_AGP_Mito") -> str:
    """The four accuracies of each encoder, the paired differences over the quadrants, and where to look.

    root: results folder of a run with tables/accuracies.csv and tables/differences.csv; else a DataError.
    protocol: by default that of the differences, the run's leading one.
    """
    root = Path(root)
    try:
        accuracies, differences = (pd.read_csv(root / f"tables/{name}.csv") for name in ("accuracies", "differences"))
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such table; run the workflow's target `tables` first") from error
    protocol = protocol or str(differences["protocol"].iloc[0])
    rows = accuracies[(accuracies["protocol"] == protocol) & (accuracies["channels"] == channels)]
    lines = [f"Accuracy on {channels} ({protocol} protocol), 95 % interval over wells, chance in brackets:"]
    for label, encoder in rows.groupby("label", sort=False):
        lines.append(f"  {label}")
        for record in encoder.to_dict("records"):
            value, bounds = number(record["accuracy"]), interval(record["low"], record["high"])
            lines.append(f"    {QUADRANTS[record['split']]:<28}{value} {bounds} ({number(record['chance'])})")
    lines.append("Paired differences, mean over the quadrants:")
    for record in differences[differences["split"] == "mean"].to_dict("records"):
        value = number(record["difference"], signed=True)
        bounds = interval(record["low"], record["high"], signed=True)
        lines.append(f"  {record['statement']} ({record['second']}): {value} {bounds}")
    lines += [f"{name}: {root / name}" for name in ("report.html", "tables", "figures") if (root / name).exists()]
    return "\n".join(lines)


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
