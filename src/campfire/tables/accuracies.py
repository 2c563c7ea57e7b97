"""Every accuracy of the evaluation: encoder x channel set x protocol x quadrant. The other tables read from it."""

from collections.abc import Iterable

import pandas as pd

from campfire.errors import DataError
from campfire.keys import QUADRANTS, WELL_KEYS
from campfire.tables.intervals import accuracy_interval
from campfire.tables.options import TableOptions
from campfire.tables.render import Table, interval, number
from campfire.tables.sources import TASKS, ProbeResult

PROTOCOLS = ("release", "paper", "strict")


def _summarise(scores: pd.DataFrame, predictions: pd.DataFrame, options: TableOptions) -> dict[str, float]:
    """One row: mean over fits, spread over fits, interval over wells, and what was scored."""
    low, high = accuracy_interval(predictions, options)
    truth = predictions["truth"].astype(str)
    classes = len(set(truth) | set(predictions["predicted"].astype(str)))
    row: dict[str, float] = {
        "accuracy": scores["accuracy"].mean(),
        "sd": scores["accuracy"].std(ddof=0),
        "sd_sample": scores["accuracy"].std(ddof=1),
        "low": low,
        "high": high,
        "level": options.level,
    }
    for name in ("balanced_accuracy", "macro_f1"):
        row[name] = scores[name].mean()
        row[f"{name}_sd"] = scores[name].std(ddof=0)
    cells = predictions[[*WELL_KEYS, "Metadata_Site", "Metadata_Nucleus"]]
    return row | {
        "n_fits": scores["fit"].nunique(),
        "n_wells": len(predictions[WELL_KEYS].drop_duplicates()),
        "n_cells": len(cells.drop_duplicates()),
        "n_classes": classes,
        "chance": 1 / classes,
        # What guessing the largest class alone would reach; above chance where the sample is unbalanced.
        "majority": truth.value_counts(normalize=True).iloc[0],
    }


def collect(results: Iterable[ProbeResult], options: TableOptions) -> pd.DataFrame:
    """The long table, one row per encoder, channel set, protocol and quadrant.

    Columns: encoder, label, channels, channel_label, protocol, task, split, quadrant; accuracy (mean over fits), sd
    (population SD over fits, as the paper's), sd_sample (ddof 1), low and high (bootstrap over wells), level;
    balanced_accuracy and macro_f1 with their sd; n_fits, n_wells, n_cells, n_classes, chance (1 / n_classes), majority
    (share of the largest class). Files are read one by one, so memory holds one encoder and channel set at a time.
    """
    rows = []
    for result in results:
        scores, predictions = result.scores(), result.predictions()
        grouped = dict(list(predictions.groupby(["protocol", "split"], observed=True)))
        for (protocol, split), chosen in scores.groupby(["protocol", "split"], observed=True):
            if split not in TASKS:
                continue
            if (protocol, split) not in grouped:
                raise DataError(
                    f"{result.folder / 'predictions.parquet'}: has no predictions for {protocol}, {split}, which "
                    "scores.parquet has; delete both and run the probe again"
                )
            key = {
                "encoder": result.encoder,
                "label": options.label(result.encoder),
                "channels": result.channels,
                "channel_label": options.channel_label(result.channels),
                "protocol": protocol,
                "task": TASKS[str(split)],
                "split": split,
                "quadrant": QUADRANTS[str(split)],
            }
            rows.append(key | _summarise(chosen, grouped[(protocol, split)], options))
    if not rows:
        raise DataError("no probe scores were given; add encoders and channel sets to the evaluation")
    table = pd.DataFrame(rows)
    encoders = options.order(list(table["encoder"]))
    table = table[table["encoder"].isin(encoders)]
    place = {
        "encoder": {name: i for i, name in enumerate(encoders)},
        "protocol": {name: i for i, name in enumerate([*PROTOCOLS, *sorted(set(table["protocol"]) - set(PROTOCOLS))])},
        "split": {name: i for i, name in enumerate(QUADRANTS)},
    }
    order = table.sort_values(
        ["encoder", "channels", "protocol", "split"], key=lambda c: c.map(place[c.name]) if c.name in place else c
    )
    return order.reset_index(drop=True)


def interval_note(options: TableOptions) -> str:
    """What the brackets mean."""
    return (
        f"Brackets: {100 * options.level:g} % percentile interval of {options.replicates:,} bootstrap replicates that "
        "resample wells, so cells of a well stay together."
    )


def build(results: Iterable[ProbeResult], options: TableOptions) -> Table:
    """All accuracies as a table; its `data` is what `collect` returns."""
    data = collect(results, options)
    layout = pd.DataFrame(
        {
            "Encoder": data["label"],
            "Channels": data["channel_label"],
            "Protocol": data["protocol"],
            "Quadrant": data["quadrant"],
            "Accuracy": [
                f"{number(r['accuracy'])} ± {number(r['sd'])} {interval(r['low'], r['high'])}".strip()
                for r in data.to_dict("records")
            ],
            "Balanced accuracy": [number(value) for value in data["balanced_accuracy"]],
            "Macro F1": [number(value) for value in data["macro_f1"]],
            "Chance": [number(value) for value in data["chance"]],
            "Fits": data["n_fits"].astype(str),
            "Wells": [f"{value:,}" for value in data["n_wells"]],
            "Cells": [f"{value:,}" for value in data["n_cells"]],
        }
    )
    notes = ("Accuracy: mean ± population standard deviation over fits. " + interval_note(options),)
    return Table("Accuracy of the linear probes on single cells, every encoder and channel set.", data, layout, notes)
