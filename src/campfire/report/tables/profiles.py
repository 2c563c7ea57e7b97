"""Tables of profiles: neighbours, wells, replicate retrieval and variance, before and after normalisation."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.tables.accuracies import interval_note
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number

REPRESENTATIONS = {"raw": "raw", "sphered": "sphered", "tvn": "TVN"}
COLUMNS = {
    ("probe_accuracy", "cell"): "Probe, cells",
    ("knn_accuracy", "cell"): "k-NN, cells",
    ("probe_accuracy", "well"): "Probe, wells",
    ("knn_accuracy", "well"): "k-NN, wells",
    ("map", "well"): "mAP, wells",
    ("map_normalized", "well"): "mAP above chance",
}
SHARES = {"compound": "Compound", "batch": "Batch", "plate": "Plate", "residual": "Well"}


def collect(summaries: Mapping[str, pd.DataFrame], options: TableOptions) -> pd.DataFrame:
    """encoder -> profiles/{encoder}/{channels}.parquet under the protocol of the options, stacked with labels.

    Columns: encoder, label, channels, protocol, task, split, metric, representation, level, value, low, high.
    Raises DataError when there is none.
    """
    parts = []
    for encoder in options.order(list(summaries)):
        table = summaries[encoder]
        table = table[table["protocol"] == options.protocol]
        parts.append(table.assign(encoder=encoder, label=options.label(encoder), channels=options.id_channels))
    if not parts or all(part.empty for part in parts):
        raise DataError(f"tables.profiles: no encoder has a profile summary under protocol {options.protocol}")
    columns = ["encoder", "label", "channels", "protocol", "task", "split", "metric", "representation", "level"]
    return pd.concat(parts, ignore_index=True)[[*columns, "value", "low", "high"]]


def value_text(record: Mapping[Any, Any] | None) -> str:
    """A value and its interval in print; a dash without a value."""
    return f"{number(record['value'])} {interval(record['low'], record['high'])}".strip() if record else "–"


def normalisation_note(options: TableOptions) -> str:
    """The note that explains the representations."""
    return (
        f"Protocol {options.protocol}, channels {options.channel_label(options.id_channels)}. Sphered: each plate is "
        "centred and scaled by its negative control and whitened by the controls of all plates. TVN: whitened first, "
        "then the controls of each plate are aligned. Both use every embedded cell of the negative control, of which "
        "an ID plate has one probed well beside its reference wells (split.reference_wells); with none, that well's "
        "own deviation affects the plate. A control used for normalisation is not a class here."
    )


def build(summaries: Mapping[str, pd.DataFrame], options: TableOptions) -> Table:
    """Encoders, quadrants and representations in rows, metrics in columns; `data` is what `collect` returns."""
    data = collect(summaries, options)
    data = data[data["split"].isin(list(QUADRANTS))].reset_index(drop=True)
    lines = []
    for (label, split, kind), rows in data.groupby(["label", "split", "representation"], sort=False):
        found = {(record["metric"], record["level"]): record for record in rows.to_dict("records")}
        line = {
            "Encoder": label,
            "Quadrant": QUADRANTS[str(split)],
            "Embeddings": REPRESENTATIONS.get(str(kind), str(kind)),
        }
        lines.append(line | {name: value_text(found.get(key)) for key, name in COLUMNS.items()})
    layout = pd.DataFrame(lines)
    rank = {name: i for i, name in enumerate(QUADRANTS.values())}
    labels = list(dict.fromkeys(layout["Encoder"]))
    layout = layout.sort_values(
        ["Encoder", "Quadrant"],
        key=lambda column: column.map(rank if column.name == "Quadrant" else labels.index),
        kind="stable",
        ignore_index=True,
    )
    again = layout[["Encoder", "Quadrant"]].duplicated()
    layout["Quadrant"] = layout["Quadrant"].where(~again, "")
    layout["Encoder"] = layout["Encoder"].where(~layout["Encoder"].duplicated(), "")
    lead = data[(data["label"] == labels[0]) & (data["metric"] == "map_normalized")]
    answer = ""
    if not lead.empty:
        kinds = lead.groupby("representation", sort=False)["value"].mean()
        parts = ", ".join(f"{REPRESENTATIONS.get(str(kind), kind)} {number(value)}" for kind, value in kinds.items())
        answer = (
            f"Replicates of a compound on other plates are retrieved with a mean average precision above chance "
            f"(0 is chance, 1 perfect) of {parts} ({labels[0]}, mean over {lead['split'].nunique()} quadrants)."
        )
    notes = (
        normalisation_note(options),
        "Probe of cells: the linear probe of Table 3.1, in which the negative control is a class; of wells: logistic "
        "regression on standardised well means, on "
        "the same folds. k-NN: cosine similarity, the same training cells. mAP: average precision with which a well "
        "ranks the wells of its compound on other plates above those of other compounds (copairs); a dash where no "
        "compound has wells on two plates. "
        + interval_note(options)
        + " Those of mAP are over plates (Student's t on the "
        f"values without one plate each), none for fewer than {MIN_UNITS} plates.",
    )
    title = "Cells and wells, probes and neighbours, before and after normalisation by the negative control."
    return Table(title, data, layout, notes, answer)


def build_variance(summaries: Mapping[str, pd.DataFrame], options: TableOptions) -> Table:
    """Shares of the variance of well means by compound, batch, plate and well; empty for too few wells."""
    data = collect(summaries, options)
    data = data[data["metric"].str.startswith("variance_")].drop(columns=["split", "level"])
    data = data.assign(metric=data["metric"].str.removeprefix("variance_")).rename(columns={"metric": "factor"})
    data = data.rename(columns={"value": "share"}).reset_index(drop=True)
    title = "Shares of the variance of well means."
    if data.empty:
        answer = "The wells are too few for shares of variance: there must be more of them than compounds and plates."
        return Table(title, data, pd.DataFrame({"Encoder": ["–"], "Compounds": ["–"], "Embeddings": ["–"]}), (), answer)
    factors = [name for name in SHARES if name in set(data["factor"])]
    lines = []
    for (label, task, kind), rows in data.groupby(["label", "task", "representation"], sort=False):
        found = {r["factor"]: {"value": r["share"], **r} for r in rows.to_dict("records")}
        compounds = "control" if task == "control" else "held-out"
        line = {"Encoder": label, "Compounds": compounds, "Embeddings": REPRESENTATIONS.get(str(kind), str(kind))}
        lines.append(line | {SHARES[name]: value_text(found.get(name)) for name in factors})
    layout = pd.DataFrame(lines).sort_values(
        ["Encoder", "Compounds"], kind="stable", key=_first_seen, ignore_index=True
    )
    again = layout[["Encoder", "Compounds"]].duplicated()
    layout["Compounds"] = layout["Compounds"].where(~again, "")
    layout["Encoder"] = layout["Encoder"].where(~layout["Encoder"].duplicated(), "")
    raw = data[(data["label"] == data["label"].iloc[0]) & (data["representation"] == data["representation"].iloc[0])]
    parts = []
    for task, rows in raw.groupby("task", sort=False):
        shares = rows.set_index("factor")["share"]
        technical = sum(shares.get(name, 0.0) for name in ("batch", "plate"))
        what = "batches and plates" if "batch" in shares.index else "plates"
        parts.append(
            f"{'control' if task == 'control' else 'held-out'} compounds {100 * shares['compound']:.0f} %, "
            f"{what} {100 * technical:.0f} %"
        )
    answer = f"Of the variance of well means ({data['label'].iloc[0]}): {'; '.join(parts)}."
    notes = (
        normalisation_note(options),
        "Omega squared: what a factor explains in addition to the others, minus what its number of levels would "
        "explain by chance; plates are nested in batches; Well: the remainder. Shares near zero may be negative. "
        f"Brackets: {100 * options.level:g} % bootstrap interval over wells within compounds; they cover other "
        "wells, not other plates or batches.",
    )
    return Table(title, data, layout, notes, answer)


def _first_seen(column: pd.Series) -> pd.Series:
    return column.map({name: i for i, name in enumerate(dict.fromkeys(column))})


def make(files: Files, settings: Settings) -> Table:
    """The table of profiles from profiles/{encoder}/{channels}.parquet of every encoder."""
    return build(by_folder(files["profiles"]), settings.options)


def make_variance(files: Files, settings: Settings) -> Table:
    """The table of shares of variance from the same files."""
    return build_variance(by_folder(files["profiles"]), settings.options)
