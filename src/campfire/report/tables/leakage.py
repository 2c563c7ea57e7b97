"""How much each source of data leakage adds to the accuracies: one change at a time, on identical cells."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.probes.leakage import LEAKAGE_COLUMNS, LEAKAGE_EFFECTS, WELL_POSITION
from campfire.report.tables.accuracies import interval_note
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.verdict import DIFFERS, verdict


def collect(effects: Mapping[str, pd.DataFrame], options: TableOptions) -> pd.DataFrame:
    """encoder -> leakage/{encoder}/{channels}.parquet, stacked in the order of the tables.

    Columns: encoder, label, task, split, quadrant, source, meaning, accuracy_with, accuracy_without, difference,
    low, high, level, n_wells. Raises DataError when there is none.
    """
    parts = []
    for encoder in options.order(list(effects)):
        table = effects[encoder]
        if absent := [name for name in LEAKAGE_COLUMNS if name not in table]:
            raise DataError(
                f"leakage of encoder {encoder}: has no column {', '.join(absent)}: an earlier version wrote it; run "
                "the rule `leakage_effects` again"
            )
        table = table.assign(encoder=encoder, label=options.label(encoder), quadrant=table["split"].map(QUADRANTS))
        parts.append(table.assign(meaning=table["source"].map(LEAKAGE_EFFECTS), level=options.level))
    if not parts or all(part.empty for part in parts):
        raise DataError(
            "leakage: there is no leakage/{encoder}/{channels}.parquet; run the rule `leakage_effects` of an encoder"
        )
    columns = ["encoder", "label", "task", "split", "quadrant", "source", "meaning"]
    columns += ["accuracy_with", "accuracy_without"]
    return pd.concat(parts, ignore_index=True)[[*columns, "difference", "low", "high", "level", "n_wells"]]


def _cell(record: Mapping[Any, Any]) -> str:
    bold = "**" if verdict(record["low"], record["high"]) in DIFFERS else ""
    text = f"{number(record['difference'], signed=True)} {interval(record['low'], record['high'], signed=True)}"
    return f"{bold}{text}{bold}"


def build(effects: Mapping[str, pd.DataFrame], options: TableOptions) -> Table:
    """Sources of leakage in rows, quadrants in columns; `data` is what `collect` returns."""
    data = collect(effects, options)
    lines: list[dict[str, str]] = []
    for source in [name for name in LEAKAGE_EFFECTS if name in set(data["source"])]:
        for label, rows in data[data["source"] == source].groupby("label", sort=False):
            cells = {str(record["split"]): _cell(record) for record in rows.to_dict("records")}
            lines.append(
                {
                    "What is changed": LEAKAGE_EFFECTS[source].capitalize()
                    if not lines or lines[-1]["source"] != source
                    else "",
                    "Encoder": str(label),
                    **{quadrant: cells.get(split, "") for split, quadrant in QUADRANTS.items()},
                    "source": source,
                }
            )
    layout = pd.DataFrame(lines).drop(columns="source")
    whole = data[(data["encoder"] == data["encoder"].iloc[0]) & data["source"].isin(["release_over_strict"])]
    answer = ""
    if not whole.empty:
        parts = ", ".join(
            f"{number(r['difference'], signed=True)} {interval(r['low'], r['high'], signed=True)} on {r['quadrant']}"
            for r in whole.to_dict("records")
        )
        certain = [verdict(low, high) in DIFFERS for low, high in zip(data["low"], data["high"], strict=True)]
        answer = (
            f"All sources of leakage in the release's probe together add {parts} ({whole['label'].iloc[0]}); "
            f"{sum(certain)} of {len(data)} intervals of the table exclude zero."
        )
    wells = ", ".join(
        f"{QUADRANTS[str(split)]} {int(count):,}" for split, count in data.groupby("split")["n_wells"].max().items()
    )
    notes: tuple[str, ...] = (
        "Accuracy with the change minus accuracy without it, on identical cells (those of the strict sample). A row "
        "compares two layouts of the fits that differ in that respect alone, the last two rows whole protocols. Bold: "
        "the interval excludes zero. Empty: the change does not concern that task.",
        f"Wells: {wells}. The effect of plates in the control task comes from cross-validation over all its ID wells. "
        + interval_note(options)
        + " They are not corrected for the number of comparisons.",
        "Leakage through the split (OOD plates that share a batch with training plates, untreated wells) acts in "
        "pretraining and is not quantified here: compare with a run of the strict split (docs/strict.md).",
    )
    if WELL_POSITION in set(data["source"]):
        notes += (
            "Well positions: compounds keep their wells on all plates of a shared layout, OOD plates included. What "
            "that may add shows in the negative control's wells of OOD plates: balanced accuracy of identifying the "
            "well on a plate that was not trained on, minus chance, with as many positions as the task has compounds, "
            "or all there are. The interval is over plates.",
        )
    title = f"Effect of each source of data leakage, channels {options.channel_label(options.id_channels)}."
    return Table(title, data, layout, notes, answer)


def make(files: Files, settings: Settings) -> Table:
    """The table from leakage/{encoder}/{channels}.parquet of every encoder."""
    return build(by_folder(files["leakage"]), settings.options)
