"""Encoders that differ only in their seed, taken together: accuracies and masked errors, with intervals over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.seed_intervals import over_seeds
from campfire.evaluation.statistics import MEAN
from campfire.report.tables.accuracies import leading_metric
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.sources import ProbeResult, find, probe_results

Repeats = Mapping[str, Sequence[Sequence[Any]]]
"""Group of encoders that differ only in their seed -> (encoder, seed, pretraining run or "") of each, by seed."""

MASKED = "masked_error"
FEWEST = 3
"""Seeds that an interval needs."""


@dataclass(frozen=True)
class Group:
    """An encoder made from several seeds, or from one."""

    name: str
    label: str
    encoders: Mapping[int | None, str]
    """Seed -> encoder."""
    runs: tuple[str, ...] = ()
    """The pretraining runs, in the order of the seeds."""


def groups(results: Sequence[ProbeResult], repeats: Repeats, options: TableOptions) -> list[Group]:
    """The groups of `repeats`, and every other encoder on its own, in the order of the tables.

    A group has the label that the configuration gives its name, else the name.
    """
    member_of = {encoder: name for name, members in repeats.items() for encoder, *_ in members}
    found: dict[str, Group] = {}
    for encoder in options.order([result.encoder for result in results]):
        name = member_of.get(encoder, encoder)
        if name in repeats:
            encoders: dict[int | None, str] = {int(seed): str(each) for each, seed, _ in repeats[name]}
            found[name] = Group(
                name, options.label(name), encoders, tuple(str(run) for *_, run in repeats[name] if run)
            )
        else:
            found[name] = Group(name, options.label(name), {None: encoder})
    return list(found.values())


def channel_sets(results: Sequence[ProbeResult], options: TableOptions) -> list[str]:
    """The leading channel set and, if it was evaluated, the set that pretraining never saw."""
    there = {result.channels for result in results}
    return [name for name in (options.id_channels, options.ood_channels) if name in there]


def _accuracies(results: Sequence[ProbeResult], group: Group, channels: str, options: TableOptions) -> pd.DataFrame:
    """Accuracy by seed (rows, in order) and quadrant, means over fits; and their mean (column `mean`)."""
    rows = []
    for encoder in group.encoders.values():
        result = find(results, encoder, channels)
        metric = leading_metric(result.predictions(options.protocol))
        scores = result.scores()
        scores = scores[(scores["protocol"] == options.protocol) & scores["split"].isin(list(QUADRANTS))]
        values = scores.groupby("split", observed=True)[metric].mean().reindex(list(QUADRANTS))
        rows.append({**values.to_dict(), MEAN: values.mean(), "metric": metric})
    return pd.DataFrame(rows)


def _masked_errors(group: Group, metrics: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Masked error of the validation tiles after the last epoch, by run (rows) and channel; empty without runs."""
    rows = []
    for run in group.runs:
        if run not in metrics:
            return pd.DataFrame()
        table = metrics[run]
        last = table[table["split"] == "val"].iloc[-1]
        columns = [str(name) for name in table if str(name).startswith(f"{MASKED}_")]
        rows.append({name.removeprefix(f"{MASKED}_"): last[name] for name in columns})
    return pd.DataFrame(rows)


def collect(
    results: Sequence[ProbeResult],
    repeats: Repeats,
    options: TableOptions,
    metrics: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """One row per group of encoders, channel set and quantity, with the interval over seeds.

    Columns: encoder (of the group), label, channels, protocol, quantity (a quadrant, `mean` of the quadrants, or
    `masked_error_<channel>`), metric, value (mean over seeds), sd (sample SD over seeds), low and high (Student's t
    over seeds; nan for fewer than three), level, n_seeds.
    repeats: see `Repeats`; metrics: pretraining run -> its metrics.parquet.
    Raises DataError where there are no encoders that differ in their seed.
    """
    if not repeats:
        raise DataError("no two evaluated encoders differ only in their seed; evaluate runs of several seeds")
    rows = []
    for group in groups(results, repeats, options):
        for channels in channel_sets(results, options):
            if any((encoder, channels) not in _pairs(results) for encoder in group.encoders.values()):
                continue
            accuracies = _accuracies(results, group, channels, options)
            metric = str(accuracies["metric"][0])
            rows += [_row(group, channels, name, accuracies[name], metric, options) for name in (*QUADRANTS, MEAN)]
        errors = _masked_errors(group, metrics or {})
        rows += [_row(group, "", f"{MASKED}_{name}", errors[name], MASKED, options) for name in errors]
    return pd.DataFrame(rows)


def _row(
    group: Group, channels: str, quantity: str, values: pd.Series, metric: str, options: TableOptions
) -> dict[str, Any]:
    each = values.to_numpy(np.float64)
    bounds = over_seeds(each, options.level) if len(each) >= FEWEST else None
    return {
        "encoder": group.name,
        "label": group.label,
        "channels": channels,
        "protocol": options.protocol,
        "quantity": quantity,
        "metric": metric,
        "value": float(each.mean()),
        "sd": float(each.std(ddof=1)) if len(each) > 1 else float("nan"),
        "low": bounds.low if bounds else float("nan"),
        "high": bounds.high if bounds else float("nan"),
        "level": options.level,
        "n_seeds": len(each),
    }


def _pairs(results: Sequence[ProbeResult]) -> set[tuple[str, str]]:
    return {(result.encoder, result.channels) for result in results}


def _lines(data: pd.DataFrame, options: TableOptions) -> Iterator[dict[str, str]]:
    """Printed rows: one per group and channel set; masked errors stand beside the leading channels."""
    errors = [name for name in dict.fromkeys(data["quantity"]) if name.startswith(MASKED)]
    for (name, channels), rows in data[data["channels"] != ""].groupby(["encoder", "channels"], sort=False):
        first = rows.iloc[0]
        line = {"Encoder": str(first["label"]), "Channels": options.channel_label(str(channels))}
        line["Seeds"] = str(first["n_seeds"])
        own = data[(data["encoder"] == name) & data["quantity"].isin(errors)]
        shown = pd.concat([rows, own if channels == options.id_channels else own.iloc[:0]]).set_index("quantity")
        titles = {**QUADRANTS, MEAN: "Mean", **{error: f"Masked error, {_channel(error, options)}" for error in errors}}
        for quantity, title in titles.items():
            line[title] = _printed(shown.loc[quantity]) if quantity in shown.index else ""
        yield line


def _printed(found: pd.Series) -> str:
    return f"{number(found['value'])} {interval(found['low'], found['high'])}".strip()


def _channel(error: str, options: TableOptions) -> str:
    return options.channel_name(error.removeprefix(f"{MASKED}_"))


def build(
    results: Sequence[ProbeResult],
    repeats: Repeats,
    options: TableOptions,
    metrics: Mapping[str, pd.DataFrame] | None = None,
) -> Table:
    """The table of encoders over seeds; `data` is what `collect` returns."""
    data = collect(results, repeats, options, metrics)
    layout = pd.DataFrame(list(_lines(data, options)))
    again = layout["Encoder"].duplicated()
    layout["Encoder"] = layout["Encoder"].where(~again, "")
    means = data[(data["quantity"] == MEAN) & (data["channels"] == options.id_channels)]
    several = means[means["n_seeds"] > 1].sort_values("value", ascending=False).to_dict("records")
    named = [f"{row['label']} {number(row['value'])} {interval(row['low'], row['high'])}".strip() for row in several]
    answer = f"Mean over the quadrants on {options.channel_label(options.id_channels)}, over seeds: {', '.join(named)}."
    notes = [
        f"Protocol {options.protocol}: accuracy, balanced where the classes of a quadrant are uneven, on identical "
        f"cells. Brackets: {100 * options.level:g} % interval of the mean over pretraining seeds (Student's t), for "
        f"other seeds on these plates; none for fewer than {FEWEST} seeds.",
    ]
    if any(data["quantity"].str.startswith(MASKED)):
        notes.append(
            "Masked error: at masked pixels of the validation tiles; 1 is the error of each tile's own mean. It "
            "depends on how tiles are masked: where channels are masked in different places, a patch can be seen in "
            "another channel, so it does not compare families that mask differently."
        )
    return Table("Encoders over pretraining seeds.", data, layout, tuple(notes), answer)


def metrics_by_run(paths: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Pretraining run -> its table of metrics, from paths .../pretrain/{run}/metrics.parquet."""
    return by_folder([str(path) for path in paths])


def make(files: Files, settings: Settings) -> Table:
    """The table from the files of probes and, where there are any, of pretraining runs."""
    metrics = metrics_by_run(files.get("metrics", ()))
    return build(probe_results(files["probes"]), settings.repeats, settings.options, metrics)
