"""Table 3.2: encoders on in-distribution and on out-of-distribution channels, over the four quadrants."""

import pandas as pd

from campfire.errors import DataError
from campfire.tables import beside_paper, paper
from campfire.tables.options import TableOptions
from campfire.tables.render import Table, number


def _answer(long: pd.DataFrame, options: TableOptions) -> str:
    means = long.groupby(["encoder", "channels"], sort=False)["accuracy"].mean()
    parts = []
    for encoder in dict.fromkeys(long["encoder"]):
        change = means[encoder, options.ood_channels] - means[encoder, options.id_channels]
        parts.append(f"{options.label(encoder)} {number(change, signed=True)}")
    return (
        f"Change of accuracy, averaged over the quadrants, when {options.channel_label(options.ood_channels)} replaces "
        f"{options.channel_label(options.id_channels)}: {', '.join(parts)}."
    )


def build(accuracies: pd.DataFrame, options: TableOptions) -> Table:
    """accuracies: tables/accuracies.csv. Rows: encoders scored on both channel sets, ID sets first, as in the paper.

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
    return Table(title, long, beside_paper.layout(long, options), notes, _answer(long, options))
