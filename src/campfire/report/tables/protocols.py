"""The same embeddings probed under every protocol and variant, side by side."""

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.probes.options import VARIANTS, in_order, variant_name
from campfire.report.tables.accuracies import DOUBT, doubt_notes, interval_note
from campfire.report.tables.inputs import Files, Settings, read_csv
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number

HEADS = {variant_name(variant): f"release, {variant}" for variant in VARIANTS}
"""Heads of the columns of variants."""


def collect(accuracies: pd.DataFrame, options: TableOptions, channels: str | None = None) -> pd.DataFrame:
    """Rows of tables/accuracies.csv on one channel set (default: in distribution), every protocol.

    Raises DataError when fewer than two protocols were run.
    """
    channels = channels or options.id_channels
    rows = accuracies[accuracies["channels"] == channels]
    if rows["protocol"].nunique() < 2:
        raise DataError(
            f"tables/accuracies.csv: {channels} was probed under fewer than two protocols; add them to probe"
        )
    columns = ["encoder", "label", "channels", "protocol", "task", "split", "quadrant", "accuracy", "sd", "low", "high"]
    counts = ["n_fits", "n_wells", "n_cells", "n_train", "n_train_min", "doubt", "chance", "majority"]
    return rows[[*columns, *counts]].reset_index(drop=True)


def build(accuracies: pd.DataFrame, options: TableOptions, channels: str | None = None) -> Table:
    """Protocols in columns; `data` is what `collect` returns."""
    data = collect(accuracies, options, channels)
    protocols = in_order(list(data["protocol"]))
    lines = []
    for (label, split), rows in data.groupby(["label", "split"], sort=False):
        records = {record["protocol"]: record for record in rows.to_dict("records")}
        line = {"Encoder": label, "Quadrant": QUADRANTS[str(split)]}
        for protocol in protocols:
            record = records.get(protocol)
            mark = DOUBT if record and isinstance(record["doubt"], str) and record["doubt"] else ""
            line[HEADS.get(protocol, protocol)] = (
                f"{number(record['accuracy'])}{mark} {interval(record['low'], record['high'])}" if record else "–"
            )
        line["Wells"] = f"{int(rows['n_wells'].max()):,}"
        shares = dict.fromkeys(number(records[name]["majority"], 2) for name in protocols if name in records)
        line["Largest class"] = " / ".join(shares)
        lines.append(line)
    layout = pd.DataFrame(lines)
    layout["Encoder"] = layout["Encoder"].where(~layout["Encoder"].duplicated(), "")
    answer = _winners(data, protocols)
    notes = (
        "release: as the authors' code (control cells pooled over the wells of a plate; last-epoch weights; the "
        "held-out probe stops early on the fold that it scores). release, standardised: every dimension is centred and "
        "scaled by the training cells of a fit first, the rest is the same: the release's probe depends on the scale "
        "of the embeddings. release, logistic: the same cells and folds; logistic regression trained until it "
        "converges on standardised embeddings, its penalty chosen on wells that are not scored, so that neither scale "
        "nor learning rate matters. paper: as the text (cells per well; the best epoch is kept, which the scored fold "
        "chooses). strict: whole plates in a fold, the classifier of release, logistic.",
        "All use one split of wells (split.protocol), the one of pretraining.",
        "The release draws other cells than paper and strict, so columns also differ by sampling; the table of leakage "
        "has the differences on identical cells. Largest class: the accuracy of always guessing it, by protocol where "
        "they differ.",
        interval_note(options),
        *doubt_notes(data),
    )
    title = f"Protocols and probes side by side, channels {options.channel_label(channels or options.id_channels)}."
    return Table(title, data, layout, notes, answer)


def _winners(data: pd.DataFrame, protocols: list[str]) -> str:
    """Encoders by their mean accuracy over the quadrants, the highest first, under every protocol."""
    parts = []
    for protocol in protocols:
        means = data[data["protocol"] == protocol].groupby("label", sort=False)["accuracy"].mean()
        ranked = means.sort_values(ascending=False, kind="stable")
        listed = ", ".join(f"{label} {number(value)}" for label, value in ranked.items())
        parts.append(f"{HEADS.get(protocol, protocol)}: {listed}")
    return f"Mean accuracy over the quadrants, highest first. {'; '.join(parts)}."


def make(files: Files, settings: Settings) -> Table:
    """The table from that of accuracies."""
    return build(read_csv(files, "accuracies"), settings.options)
