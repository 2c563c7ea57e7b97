"""ID-to-OOD gap: the accuracy that each encoder loses on held-out plates."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from campfire.core.columns import TASK_QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.statistics import bootstrap_accuracy, ood_gaps
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.tables.accuracies import interval_note, leading_metric
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.sources import ProbeResult, probe_results
from campfire.report.tables.verdict import ABOVE, verdict


def _rows(result: ProbeResult, options: TableOptions) -> Iterator[dict[str, Any]]:
    predictions = result.predictions(options.protocol)
    bootstrap = options.bootstrap(leading_metric(predictions))
    intervals = bootstrap_accuracy(predictions, bootstrap).to_dict("records")
    quadrants = {record["split"]: record for record in intervals}
    classes = predictions.groupby("task", observed=True)["truth"].nunique()
    for found in ood_gaps(predictions, bootstrap).to_dict("records"):
        row: dict[str, Any] = {
            "encoder": result.encoder,
            "label": options.label(result.encoder),
            "channels": result.channels,
            "channel_label": options.channel_label(result.channels),
            "protocol": options.protocol,
            "task": found["task"],
            "metric": found["metric"],
        }
        for name, split in zip(("id", "ood"), TASK_QUADRANTS[found["task"]], strict=True):
            quadrant = quadrants[split]
            row |= {name: quadrant["value"], f"{name}_low": quadrant["low"], f"{name}_high": quadrant["high"]}
            row |= {f"n_wells_{name}": int(quadrant["n_wells"])}
        row |= {name: found[name] for name in ("gap", "low", "high", "low_plates", "high_plates")}
        row |= {"n_plates_id": found["n_plates_inside"], "n_plates_ood": found["n_plates_outside"]}
        row |= {"level": options.level}
        count = int(classes[found["task"]])
        yield row | {"n_classes": count, "chance": 1 / count}


def collect(results: Iterable[ProbeResult], options: TableOptions) -> pd.DataFrame:
    """One row per encoder, channel set and task under the protocol of the options.

    Columns: encoder, label, channels, channel_label, protocol, task, metric (balanced accuracy where classes are
    uneven), id, id_low, id_high, n_wells_id, ood, ood_low,
    ood_high, n_wells_ood (mean accuracy over fits), gap = id - ood with low and high over wells, low_plates and
    high_plates over whole plates, n_plates_id, n_plates_ood, level, n_classes, chance.
    Raises DataError when no encoder was scored on both ID and OOD plates.
    """
    results = list(results)
    encoders = options.order([result.encoder for result in results])
    chosen = [result for result in results if result.encoder in encoders]
    chosen.sort(key=lambda result: (encoders.index(result.encoder), options.channel_rank(result.channels)))
    rows = [row for result in chosen for row in _rows(result, options)]
    if not rows:
        raise DataError(f"no encoder was scored on both ID and OOD plates under protocol {options.protocol}")
    return pd.DataFrame(rows)


def task_of(row: Mapping[Hashable, Any]) -> str:
    """A row's task and number of classes, in print."""
    return f"{'control' if row['task'] == 'control' else 'held-out'}, 1 of {row['n_classes']}"


def gap_of(row: Mapping[Hashable, Any], outside: str) -> dict[str, str]:
    """A row's accuracies on ID plates and on plates `outside`, their gap and its interval over plates, in print."""
    return {
        "ID plates": number(row["id"]),
        outside: number(row["ood"]),
        "Gap": f"{number(row['gap'], signed=True)} {interval(row['low'], row['high'], signed=True)}",
        "Over plates": interval(row["low_plates"], row["high_plates"], signed=True) or "–",
        "Plates": f"{row['n_plates_id']} / {row['n_plates_ood']}",
    }


def show_once(layout: pd.DataFrame, first: str, second: str) -> None:
    """Blank, in place, the names of two columns in the rows that repeat those above."""
    again = layout[[first, second]].duplicated()
    layout[second] = layout[second].where(~again, "")
    layout[first] = layout[first].where(~layout[first].duplicated(), "")


def build(results: Iterable[ProbeResult], options: TableOptions) -> Table:
    """The gaps as a table; its `data` is what `collect` returns."""
    data = collect(results, options)
    layout = pd.DataFrame(
        [
            {
                "Encoder": row["label"],
                "Channels": row["channel_label"],
                "Task": task_of(row),
                **gap_of(row, "OOD plates"),
            }
            for row in data.to_dict("records")
        ]
    )
    show_once(layout, "Encoder", "Channels")
    shown = data[data["channels"] == options.id_channels]
    bounds = {name: zip(shown[f"low{name}"], shown[f"high{name}"], strict=True) for name in ("", "_plates")}
    worse, sure = (sum(verdict(*pair) == ABOVE for pair in pairs) for pairs in bounds.values())
    known = int(shown["low_plates"].notna().sum())
    answer = (
        f"Accuracy falls on OOD plates, with an interval over plates above zero, in {sure} of {known} combinations of "
        f"encoder and task on {options.channel_label(options.id_channels)}; on these plates (over wells) in "
        f"{worse} of {len(shown)}."
        if known
        else f"Accuracy falls on these OOD plates, with an interval over wells above zero, in {worse} of {len(shown)} "
        f"combinations of encoder and task on {options.channel_label(options.id_channels)}; they are fewer than "
        f"{MIN_UNITS}, so it does not extend to other plates."
        if len(shown)
        else ""
    )
    notes = (
        f"Protocol {options.protocol}. Gap: accuracy on ID minus accuracy on OOD plates, same compounds and "
        "classifiers. " + interval_note(options),
        "Over plates: the interval of the gap for other plates (Student's t with Welch's degrees of freedom on what "
        "each plate adds). The brackets beside the gap hold the plates fixed. Plates: ID / OOD; a dash where either "
        f"has fewer than {MIN_UNITS}. Where the classes of a quadrant are uneven, gaps are of balanced accuracy.",
    )
    return Table("Accuracy lost on held-out plates.", data, layout, notes, answer)


def make(files: Files, settings: Settings) -> Table:
    """The table from the probes' files."""
    return build(probe_results(files["probes"]), settings.options)
