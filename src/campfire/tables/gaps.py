"""ID-to-OOD gap: how much accuracy each encoder loses on plates that were held out."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from campfire.errors import DataError
from campfire.tables.accuracies import interval_note
from campfire.tables.intervals import accuracy_interval, gap_interval
from campfire.tables.options import TableOptions
from campfire.tables.render import Table, interval, number
from campfire.tables.sources import ProbeResult

PAIRS = {"control": ("test", "test_ood_plate"), "heldout": ("test_ood_compound", "test_ood_both")}
"""Task -> quadrants on ID and on OOD plates."""


def collect(results: Iterable[ProbeResult], options: TableOptions) -> pd.DataFrame:
    """One row per encoder, channel set and task under the protocol of the options.

    Columns: encoder, label, channels, channel_label, protocol, task, id, id_low, id_high, ood, ood_low, ood_high (mean
    accuracy over fits), gap = id - ood with low and high, level, n_wells_id, n_wells_ood, n_classes, chance.
    """
    results = list(results)
    encoders = options.order([result.encoder for result in results])
    rows = []
    for result in sorted(
        results, key=lambda r: (encoders.index(r.encoder) if r.encoder in encoders else -1, r.channels)
    ):
        if result.encoder not in encoders:
            continue
        scores, predictions = result.scores(), result.predictions(options.protocol)
        means = scores[scores["protocol"] == options.protocol].groupby("split", observed=True)["accuracy"].mean()
        for task, (inside, outside) in PAIRS.items():
            parts = [predictions[predictions["split"] == split] for split in (inside, outside)]
            if any(part.empty for part in parts):
                continue
            classes = len(set(parts[0]["truth"]) | set(parts[1]["truth"]))
            row: dict[str, Any] = {
                "encoder": result.encoder,
                "label": options.label(result.encoder),
                "channels": result.channels,
                "channel_label": options.channel_label(result.channels),
                "protocol": options.protocol,
                "task": task,
            }
            for name, split, part in zip(("id", "ood"), (inside, outside), parts, strict=True):
                low, high = accuracy_interval(part, options)
                row |= {name: means[split], f"{name}_low": low, f"{name}_high": high}
            low, high = gap_interval(parts[0], parts[1], options)
            row |= {"gap": means[inside] - means[outside], "low": low, "high": high, "level": options.level}
            for name, part in zip(("id", "ood"), parts, strict=True):
                row[f"n_wells_{name}"] = len(part[["Metadata_Plate", "Metadata_Well"]].drop_duplicates())
            rows.append(row | {"n_classes": classes, "chance": 1 / classes})
    if not rows:
        raise DataError(f"no encoder was scored on both ID and OOD plates under protocol {options.protocol}")
    return pd.DataFrame(rows)


def build(results: Iterable[ProbeResult], options: TableOptions) -> Table:
    """The gaps as a table; its `data` is what `collect` returns."""
    data = collect(results, options)
    layout = pd.DataFrame(
        [
            {
                "Encoder": row["label"],
                "Channels": row["channel_label"],
                "Task": f"1 of {row['n_classes']} {'control' if row['task'] == 'control' else 'held-out'} compounds",
                "ID plates": number(row["id"]),
                "OOD plates": number(row["ood"]),
                "Gap": f"{number(row['gap'], signed=True)} {interval(row['low'], row['high'], signed=True)}",
            }
            for row in data.to_dict("records")
        ]
    )
    shown = data[data["channels"] == options.id_channels]
    worse = int((shown["low"] > 0).sum())
    answer = (
        f"Accuracy falls on OOD plates, with an interval above zero, in {worse} of {len(shown)} combinations of "
        f"encoder and task on {options.channel_label(options.id_channels)}."
        if len(shown)
        else ""
    )
    notes = (
        f"Protocol {options.protocol}. Gap: accuracy on ID minus accuracy on OOD plates, same compounds and "
        "classifiers. " + interval_note(options),
    )
    return Table("Accuracy lost on plates that were held out of training.", data, layout, notes, answer)
