"""Table 3.1: encoders on the four quadrants, in-distribution channels."""

import pandas as pd

from campfire.core.errors import DataError
from campfire.report.tables import beside_paper, paper
from campfire.report.tables.differences import mean_difference
from campfire.report.tables.inputs import Files, Settings, read_csv, read_csv_if_there
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table


def _answer(long: pd.DataFrame, encoders: list[str], options: TableOptions, differences: pd.DataFrame | None) -> str:
    """Sentences on paired differences to the first encoder, if any, and on the number of values above chance."""
    scored = long.dropna(subset=["accuracy"])
    above = int(scored["above_chance"].eq(True).sum())
    what = "balanced accuracy" if scored["uneven"].eq(True).any() else "accuracy"
    parts = []
    for other in encoders[1:]:
        found = mean_difference(differences, (encoders[0], options.id_channels), (other, options.id_channels))
        if found:
            parts.append(f"{options.label(other)} {found.in_words()}")
    text = f"{above} of {len(scored)} intervals of {what} lie above chance."
    if not parts:
        return text
    lead = f"{options.label(encoders[0])} minus each other encoder, mean over the quadrants: {', '.join(parts)}"
    return f"{lead}. {text}"


def build(accuracies: pd.DataFrame, options: TableOptions, differences: pd.DataFrame | None = None) -> Table:
    """accuracies, differences: those tables' csv. Rows: encoders scored on the in-distribution channels.

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
    return Table(
        title,
        long,
        beside_paper.layout(long, options),
        beside_paper.notes(long, options),
        _answer(long, encoders, options, differences),
    )


def make(files: Files, settings: Settings) -> Table:
    """The table from those of accuracies and, where the run has it, of differences."""
    table = build(read_csv(files, "accuracies"), settings.options, read_csv_if_there(files, "differences"))
    return beside_paper.with_licences(table, settings.licences, settings.options)
