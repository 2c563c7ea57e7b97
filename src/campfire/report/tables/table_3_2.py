"""Table 3.2: encoders on in-distribution and on out-of-distribution channels, over the four quadrants."""

import pandas as pd

from campfire.core.errors import DataError
from campfire.report.tables import beside_paper, paper
from campfire.report.tables.differences import mean_difference
from campfire.report.tables.inputs import Files, Settings, read_csv, read_csv_if_there
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table


def _answer(encoders: list[str], options: TableOptions, differences: pd.DataFrame | None) -> str:
    """A sentence on the paired change of every encoder; empty without the table of differences."""
    parts = []
    for encoder in encoders:
        found = mean_difference(differences, (encoder, options.id_channels), (encoder, options.ood_channels))
        if found:
            parts.append(f"{options.label(encoder)} {found.turned().in_words()}")
    if not parts:
        return ""
    return (
        f"Change of accuracy, averaged over the quadrants, when {options.channel_label(options.ood_channels)} replaces "
        f"{options.channel_label(options.id_channels)}: {', '.join(parts)}."
    )


def build(accuracies: pd.DataFrame, options: TableOptions, differences: pd.DataFrame | None = None) -> Table:
    """accuracies, differences: those tables' csv. Rows: encoders scored on both channel sets, ID first.

    Raises DataError when no encoder has both.
    """
    sets = {"ID": options.id_channels, "OOD": options.ood_channels}
    scored = [set(accuracies.loc[accuracies["channels"] == name, "encoder"]) for name in sets.values()]
    encoders = options.order(sorted(scored[0] & scored[1]))
    if not encoders:
        raise DataError(
            f"tables/accuracies.csv: no encoder was scored on both {options.id_channels} and {options.ood_channels}; "
            "add both channel sets to the evaluation of an encoder"
        )
    rows = [
        beside_paper.Row(
            f"{options.label(encoder)} / {kind}",
            encoder,
            channels,
            paper.TABLE_3_2.get((options.paper.get(encoder, ""), kind)),
        )
        for kind, channels in sets.items()
        for encoder in encoders
    ]
    long = beside_paper.long_form(accuracies, rows, options)
    title = (
        f"Table 3.2. Accuracy with channels seen in pretraining (ID: {options.channel_label(options.id_channels)}) and "
        f"with unseen ones (OOD: {options.channel_label(options.ood_channels)})."
    )
    notes = beside_paper.notes(long, options)
    return Table(title, long, beside_paper.layout(long, options), notes, _answer(encoders, options, differences))


def make(files: Files, settings: Settings) -> Table:
    """The table from those of accuracies and, where the run has it, of differences."""
    table = build(read_csv(files, "accuracies"), settings.options, read_csv_if_there(files, "differences"))
    return beside_paper.with_licences(table, settings.licences, settings.options)
