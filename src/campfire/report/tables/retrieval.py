"""Table of graded retrieval: replicates of the same batch, of other batches, in another layout; and layout leaks."""

from collections.abc import Mapping

import pandas as pd

from campfire.evaluation.profiles.graded import GRADES, LAYOUT_LEAK
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.options import TableOptions
from campfire.report.tables.profiles import REPRESENTATIONS, collect, normalisation_note, value_text
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.verdict import ABOVE, verdict

NAMES = {"graded_same_batch": "Same batch", "graded_other_batch": "Other batch", "graded_other_layout": "Other layout"}
TASKS = {"control": "control", "heldout": "held-out", "": "negative control"}


def build(summaries: Mapping[str, pd.DataFrame], options: TableOptions) -> Table:
    """Encoders, compounds and representations in rows, grades in columns; `data` has one row per value."""
    data = collect(summaries, options)
    data = data[data["metric"].isin([f"graded_{grade}" for grade in GRADES] + [LAYOUT_LEAK])]
    data = data.drop(columns=["split", "level"]).reset_index(drop=True)
    title = "Replicates retrieved, from the same batch to another layout, and leaks of the plate layout."
    if data.empty:
        layout = pd.DataFrame({"Encoder": ["–"], "Compounds": ["–"], "Embeddings": ["–"]})
        return Table(title, data, layout, (), "No compound has two wells that could be retrieved.")
    lines = []
    for (label, task, kind), rows in data.groupby(["label", "task", "representation"], sort=False):
        found = {record["metric"]: record for record in rows.to_dict("records")}
        line = {"Encoder": label, "Compounds": TASKS[str(task)], "Embeddings": REPRESENTATIONS[str(kind)]}
        line |= {name: value_text(found.get(metric)) for metric, name in NAMES.items()}
        lines.append(line | {"Well position": value_text(found.get(LAYOUT_LEAK))})
    layout = pd.DataFrame(lines)
    ranks = [list(dict.fromkeys(layout["Encoder"])), list(TASKS.values()), list(REPRESENTATIONS.values())]
    columns = ["Encoder", "Compounds", "Embeddings"]
    rank = {column: {name: i for i, name in enumerate(known)} for column, known in zip(columns, ranks, strict=True)}
    layout = layout.sort_values(columns, key=lambda column: column.map(rank[str(column.name)]), ignore_index=True)
    again = layout[["Encoder", "Compounds"]].duplicated()
    layout["Compounds"] = layout["Compounds"].where(~again, "")
    layout["Encoder"] = layout["Encoder"].where(~layout["Encoder"].duplicated(), "")
    notes = (
        normalisation_note(options),
        "Mean average precision above chance (copairs; 0 is chance, 1 is perfect) with which a test well ranks the "
        "wells of its compound above those of all other compounds: wells on other plates of the same batch, of other "
        "batches, or on other plates in another position. The negatives are the same for all three. A dash where "
        "no compound has such wells.",
        "Well position: wells of the negative control rank those of the same position on other plates against those of "
        "other positions there. Above zero, embeddings encode the position, by which a compound that has the same "
        "position on all plates can be recognised.",
        f"Brackets: {100 * options.level:g} % interval over plates (Student's t on the values without one plate each); "
        f"none for fewer than {MIN_UNITS} plates.",
    )
    return Table(title, data, layout, notes, _answer(data))


def _answer(data: pd.DataFrame) -> str:
    """Sentences on the first encoder's raw embeddings."""
    first = data[data["label"] == data["label"].iloc[0]]
    first = first[first["representation"] == first["representation"].iloc[0]]
    kind = REPRESENTATIONS[str(first["representation"].iloc[0])]
    parts = []
    for task, rows in first[first["task"] != ""].groupby("task", sort=False):
        values = [(NAMES[row["metric"]], number(row["value"])) for row in rows.to_dict("records")]
        found = ", ".join(f"{name[0].lower()}{name[1:]} {value}" for name, value in values)
        parts.append(f"{TASKS[str(task)]} compounds {found}")
    text = f"Replicates retrieved above chance ({data['label'].iloc[0]}, {kind}): {'; '.join(parts)}." if parts else ""
    for row in first[first["metric"] == LAYOUT_LEAK].to_dict("records"):
        leaks = "encode" if verdict(row["low"], row["high"]) == ABOVE else "are not shown to encode"
        value = f"{number(row['value'])} {interval(row['low'], row['high'])}".strip()
        text += f" Its embeddings {leaks} the position of a control well ({value})."
    return text.strip()


def make(files: Files, settings: Settings) -> Table:
    """The table from profiles/{encoder}/{channels}.parquet of every encoder."""
    return build(by_folder(files["profiles"]), settings.options)
