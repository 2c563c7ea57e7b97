"""What each protocol and its leaks are worth: the same embeddings probed as released, as written and strictly."""

import pandas as pd

from campfire.errors import DataError
from campfire.keys import QUADRANTS
from campfire.tables.accuracies import PROTOCOLS, interval_note
from campfire.tables.options import TableOptions
from campfire.tables.render import Table, interval, number

REFERENCE = "strict"


def collect(accuracies: pd.DataFrame, options: TableOptions, channels: str | None = None) -> pd.DataFrame:
    """Rows of tables/accuracies.csv on one channel set (default: in distribution) with `minus_strict`.

    minus_strict is the accuracy minus that of the strict protocol on the same quadrant: the worth of the leaks.
    Raises DataError when fewer than two protocols were run.
    """
    channels = channels or options.id_channels
    rows = accuracies[accuracies["channels"] == channels]
    if rows["protocol"].nunique() < 2:
        raise DataError(
            f"tables/accuracies.csv: {channels} was probed under fewer than two protocols; add them to probe"
        )
    columns = ["encoder", "label", "channels", "protocol", "task", "split", "quadrant", "accuracy", "sd", "low", "high"]
    rows = rows[[*columns, "n_fits", "n_wells", "n_cells", "chance", "majority"]]
    strict = rows[rows["protocol"] == REFERENCE].set_index(["encoder", "split"])["accuracy"]
    keys = pd.MultiIndex.from_frame(rows[["encoder", "split"]])
    return rows.assign(minus_strict=rows["accuracy"].to_numpy() - strict.reindex(keys).to_numpy()).reset_index(
        drop=True
    )


def build(accuracies: pd.DataFrame, options: TableOptions, channels: str | None = None) -> Table:
    """Protocols side by side; `data` is what `collect` returns."""
    data = collect(accuracies, options, channels)
    protocols = [name for name in PROTOCOLS if name in set(data["protocol"])]
    lines = []
    for (label, split), rows in data.groupby(["label", "split"], sort=False):
        records = {record["protocol"]: record for record in rows.to_dict("records")}
        line = {"Encoder": label, "Quadrant": QUADRANTS[str(split)]}
        for protocol in protocols:
            record = records.get(protocol)
            line[protocol] = (
                f"{number(record['accuracy'])} {interval(record['low'], record['high'])}" if record else "–"
            )
        for protocol in protocols:
            if protocol != REFERENCE and REFERENCE in protocols:
                record = records.get(protocol)
                line[f"{protocol} − {REFERENCE}"] = number(record["minus_strict"], signed=True) if record else "–"
        lines.append(line)
    layout = pd.DataFrame(lines)
    layout["Encoder"] = layout["Encoder"].where(~layout["Encoder"].duplicated(), "")
    leaking = data[data["protocol"] != REFERENCE].dropna(subset=["minus_strict"])
    answer = ""
    if not leaking.empty:
        biggest = leaking.iloc[int(leaking["minus_strict"].abs().to_numpy().argmax())]
        answer = (
            f"The largest change against the strict protocol is {number(biggest['minus_strict'], signed=True)} "
            f"({biggest['label']}, {biggest['protocol']}, {biggest['quadrant']}); the mean change is "
            f"{number(leaking['minus_strict'].mean(), signed=True)}."
        )
    notes = (
        "release: as the authors' code (control cells pooled over the wells of a plate; last-epoch weights; the "
        "held-out probe stops early on the fold that it scores). paper: as the text (cells per well; the best epoch is "
        "kept, which the scored fold chooses). strict: whole plates in a fold; inner wells choose the epoch.",
        "The protocols draw their cells differently, so a difference holds the effect of sampling too. "
        + interval_note(options),
    )
    title = f"The three protocols side by side, channels {options.channel_label(channels or options.id_channels)}."
    return Table(title, data, layout, notes, answer)
