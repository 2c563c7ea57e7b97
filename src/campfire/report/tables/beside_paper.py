"""Shared layout of Tables 3.1 and 3.2: models in rows, quadrants in columns, the paper's values next to ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.tables.accuracies import DOUBT, doubt_notes, interval_note
from campfire.report.tables.options import TableOptions
from campfire.report.tables.paper import CLASSES, Printed
from campfire.report.tables.render import Table, interval, mean_and_spread, number
from campfire.report.tables.sources import TASKS


@dataclass(frozen=True)
class Row:
    """A model of the table and, if available, the paper's values for it."""

    name: str
    encoder: str
    channels: str
    paper: Mapping[str, Printed] | None = None


_OURS = ["accuracy", "sd", "sd_sample", "low", "high", "level", "balanced_accuracy", "macro_f1"]
_OURS += ["balanced_accuracy_sd", "balanced_low", "balanced_high", "uneven", "above_chance"]
_OURS += ["n_train", "n_train_min", "doubt"]
_UNKNOWN = Printed("–", float("nan"), float("nan"))
_COUNTS = ["n_fits", "n_wells", "n_cells", "n_classes", "chance", "majority"]


def long_form(accuracies: pd.DataFrame, rows: Sequence[Row], options: TableOptions) -> pd.DataFrame:
    """One row per model and quadrant: ours, the paper's as printed and as numbers, and ours minus the paper's mean.

    `same_task` is true where the number of classes is the paper's (9 controls, 60 held-out compounds); elsewhere the
    difference compares two different tasks. A quadrant that was not scored is an empty row.
    """
    chosen = accuracies[accuracies["protocol"] == options.protocol]
    found = {(r["encoder"], r["channels"], r["split"]): r for r in chosen.to_dict("records")}
    lines = []
    for row in rows:
        for split, quadrant in QUADRANTS.items():
            ours = found.get((row.encoder, row.channels, split), {})
            text, mean, sd = ((row.paper if options.paper_screen else None) or {}).get(split, _UNKNOWN)
            task = TASKS[split]
            lines.append(
                {
                    "model": row.name,
                    "encoder": row.encoder,
                    "channels": row.channels,
                    "channel_label": options.channel_label(row.channels),
                    "protocol": options.protocol,
                    "task": task,
                    "split": split,
                    "quadrant": quadrant,
                    **{name: ours.get(name, float("nan")) for name in [*_OURS, *_COUNTS]},
                    "paper": text,
                    "paper_mean": mean,
                    "paper_sd": sd,
                    "difference": ours.get("accuracy", float("nan")) - mean,
                    "same_task": options.paper_screen and ours.get("n_classes") == CLASSES[task],
                }
            )
    table = pd.DataFrame(lines)
    if not rows or table["accuracy"].isna().all():
        raise DataError(f"tables/accuracies.csv: no accuracy under protocol {options.protocol} for this table")
    return table


def layout(long: pd.DataFrame, options: TableOptions) -> pd.DataFrame:
    """Text cells: per model its mean ± SD (best of a quadrant bold), interval, the paper's value, the difference.

    Where classes are uneven, balanced accuracy comes first and is the compared metric.
    """
    several = len(set(long["model"])) > 1
    accuracy = ("accuracy", "sd", "low", "high")
    balanced = ("balanced_accuracy", "balanced_accuracy_sd", "balanced_low", "balanced_high")
    uneven = long["uneven"].eq(True).any()
    lines = []
    for model, rows in long.groupby("model", sort=False):
        records = {record["split"]: record for record in rows.to_dict("records")}
        bracket = f"{100 * options.level:g} % interval"
        if uneven:
            best = _best(long, balanced[0]) if several else {}
            lines += [{"": "balanced accuracy", **_values(records, balanced, best)}]
            lines += [{"": bracket, **_brackets(records, balanced)}, {"": "accuracy", **_values(records, accuracy, {})}]
        else:
            best = _best(long, accuracy[0]) if several else {}
            lines += [{"": "this run", **_values(records, accuracy, best)}]
        lines.append({"": bracket, **_brackets(records, accuracy)})
        lines[-4 if uneven else -2]["Model"] = str(model)
        if rows["paper_mean"].notna().any():
            paper, difference = {}, {}
            for split, quadrant in QUADRANTS.items():
                record = records[split]
                paper[quadrant] = record["paper"]
                mark = "" if record["same_task"] else " †"
                known = not pd.isna(record["difference"])
                difference[quadrant] = f"{number(record['difference'], signed=True)}{mark}" if known else "–"
            lines += [{"": "paper", **paper}, {"": "difference", **difference}]
    return pd.DataFrame(lines, columns=["Model", "", *QUADRANTS.values()]).fillna("")


def _best(long: pd.DataFrame, metric: str) -> dict[Any, float]:
    """The highest value of each quadrant with enough wells for a verdict."""
    return long[long["n_wells"] >= MIN_UNITS].groupby("split")[metric].max().to_dict()


def _values(records: Mapping[Any, Any], columns: Sequence[str], best: Mapping[Any, float]) -> dict[str, str]:
    cells = {}
    for split, quadrant in QUADRANTS.items():
        value, sd = (records[split][name] for name in columns[:2])
        mark = DOUBT if isinstance(records[split]["doubt"], str) and records[split]["doubt"] else ""
        text = "–" if pd.isna(value) else f"{mean_and_spread(value, sd, records[split]['n_fits'])}{mark}"
        cells[quadrant] = f"**{text}**" if value == best.get(split) else text
    return cells


def _brackets(records: Mapping[Any, Any], columns: Sequence[str]) -> dict[str, str]:
    return {
        quadrant: interval(*(records[split][name] for name in columns[2:])) for split, quadrant in QUADRANTS.items()
    }


def with_licences(table: Table, licences: Mapping[str, str], options: TableOptions) -> Table:
    """The table with a note on the licences of its published encoders."""
    encoders = dict.fromkeys(str(name) for name in table.data["encoder"])
    known = [f"{options.label(name)}: {licences[name]}" for name in encoders if licences.get(name)]
    return replace(table, notes=(*table.notes, f"Licences. {'. '.join(known)}.")) if known else table


def notes(long: pd.DataFrame, options: TableOptions) -> tuple[str, ...]:
    """Notes: task, protocol, n, spread, interval, and where the paper's value belongs to another task."""
    scored = long.dropna(subset=["accuracy"])
    counts = []
    for split, rows in scored.groupby("split", sort=False):
        first = rows.iloc[0]
        counts.append(
            f"{QUADRANTS[str(split)]}: {int(first['n_fits'])} fit{'s' if first['n_fits'] != 1 else ''} (at least "
            f"{int(rows['n_train_min'].min()):,} training cells of each class), {int(first['n_wells']):,} wells, "
            f"{int(first['n_cells']):,} cells, {int(first['n_classes'])} compounds (chance {number(first['chance'])}, "
            f"largest class {number(first['majority'])})"
        )
    lines = [
        f"Accuracy of linear probes on single-cell embeddings, protocol {options.protocol}: mean ± population standard "
        "deviation over fits (training subsets for ID compounds, folds for OOD compounds). " + interval_note(options),
        "; ".join(counts) + ".",
    ]
    scored_cells = scored.groupby("model", sort=False)["n_cells"].sum()
    for name, count in scored_cells[scored_cells < scored_cells.max()].items():
        lines.append(f"{name}: {int(count):,} of {int(scored_cells.max()):,} cells; it has no embedding of the others.")
    if len(set(scored["model"])) > 1:
        lines.append("Bold: the highest value of a quadrant; which differences hold up is in the table of differences.")
    if scored["uneven"].eq(True).any():
        lines.append(
            "Classes are uneven: always guessing the largest would reach its share, so balanced accuracy (the mean "
            "recall of the compounds, chance 1 / K) leads, and the highest of it is bold."
        )
    if scored["paper_mean"].notna().any():
        lines.append("Paper: as printed, ± standard deviation over fits. Difference: this run minus the paper.")
        if not scored.loc[scored["paper_mean"].notna(), "same_task"].all():
            lines.append(
                f"† Not the paper's task, which distinguishes {CLASSES['control']} control and {CLASSES['heldout']} "
                "held-out compounds of JUMP-CP; this run has another number of compounds or another screen. The "
                "difference does not measure agreement."
            )
    return (*lines, *doubt_notes(scored))
