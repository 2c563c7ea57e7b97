"""Table 3.1: encoders on the four quadrants, in-distribution channels."""

import pandas as pd

from campfire.errors import DataError
from campfire.tables import beside_paper, paper
from campfire.tables.options import TableOptions
from campfire.tables.render import Table


def _answer(long: pd.DataFrame) -> str:
    scored = long.dropna(subset=["accuracy"])
    above = int((scored["low"] > scored["chance"]).sum())
    text = f"{above} of {len(scored)} intervals lie above chance."
    if scored["model"].nunique() < 2:
        return text
    winners = scored.loc[scored.groupby("split")["accuracy"].idxmax(), "model"].value_counts()
    quadrants = scored["split"].nunique()
    count = scored["model"].nunique()
    if len(winners) == 1:
        lead = f"{winners.index[0]} is the most accurate of {count} encoders in all {quadrants} quadrants"
    else:
        parts = ", ".join(f"{name} in {n}" for name, n in winners.items())
        lead = f"No encoder leads everywhere; the most accurate of {count} is {parts} of {quadrants} quadrants"
    return f"{lead}; {text}"


def build(accuracies: pd.DataFrame, options: TableOptions) -> Table:
    """accuracies: tables/accuracies.csv. Every encoder that was scored on the in-distribution channel set is a row.

    Raises DataError when there is none.
    """
    there = accuracies.loc[accuracies["channels"] == options.id_channels, "encoder"]
    encoders = options.order(list(there))
    if not encoders:
        raise DataError(
            f"tables/accuracies.csv: no encoder was scored on {options.id_channels}; add it to the evaluation"
        )
    rows = []
    for name in encoders:
        known = options.paper.get(name)
        rows.append(
            beside_paper.Row(
                options.label(name), name, options.id_channels, paper.TABLE_3_1.get(known) if known else None
            )
        )
    long = beside_paper.long_form(accuracies, rows, options)
    title = (
        f"Table 3.1. Accuracy of {len(rows)} encoders on the four quadrants, channels "
        f"{options.channel_label(options.id_channels)}."
    )
    return Table(title, long, beside_paper.layout(long, options), beside_paper.notes(long, options), _answer(long))
