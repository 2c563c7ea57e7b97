"""Z' of the transfer screen: every pair of control groups, encoder by encoder (Section 3.5, Appendix C)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from campfire.core.errors import DataError
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.tables.inputs import Files, Settings, by_folder
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number

GOOD = 0.5
"""Z' from which an assay counts as excellent (Zhang et al. 1999)."""
ROLES = {"heldout": "held-out plates", "train": "plates trained on"}


def collect(pairs: Mapping[str, pd.DataFrame], options: TableOptions) -> pd.DataFrame:
    """encoder -> transfer/{encoder}/zprime.parquet, stacked, with encoder and label; each unordered pair once.

    Raises DataError when there is no encoder or a table is empty.
    """
    parts = []
    for encoder in options.order(list(pairs)) or list(pairs):
        table = pairs[encoder]
        if table.empty:
            raise DataError(f"transfer/{encoder}/zprime.parquet: holds no pair of groups; check the transfer sheet")
        # Z' is symmetric, so each pair is listed once.
        names = np.sort(table[["reference", "target"]].to_numpy(dtype=str), axis=1)
        table = table.assign(pair=[" – ".join(row) for row in names])
        table = table[table["reference"] != table["target"]].drop_duplicates(["pair", "role", "method"])
        parts.append(table.assign(encoder=encoder, label=options.label(encoder)))
    if not parts:
        raise DataError("transfer: no encoder was given; list transfer.encoders")
    columns = ["encoder", "label", "role", "method", "pair", "reference", "target", "zprime", "low", "high"]
    return pd.concat(parts, ignore_index=True)[[*columns, "n_reference", "n_target"]]


def build(pairs: Mapping[str, pd.DataFrame], options: TableOptions) -> Table:
    """Pairs in rows, encoders in columns; `data` is what `collect` returns."""
    data = collect(pairs, options)
    labels = list(dict.fromkeys(data["label"]))
    rank = {role: i for i, role in enumerate(ROLES)}
    lines = []
    ordered = data.assign(rank=data["role"].map(rank)).sort_values(["rank", "method", "pair"], kind="stable")
    for (role, method, pair), rows in ordered.groupby(["role", "method", "pair"], sort=False):
        line = {"Pair": pair, "Plates": ROLES.get(str(role), str(role)), "Z′": method}
        found = {record["label"]: record for record in rows.to_dict("records")}
        for label in labels:
            record = found.get(label)
            line[label] = (
                f"{_value(record['zprime'])} {_bounds(record['low'], record['high'])}".strip() if record else "–"
            )
        first = rows.iloc[0]
        line["Wells"] = f"{int(first['n_reference'])} + {int(first['n_target'])}"
        lines.append(line)
    enough = data[["n_reference", "n_target"]].min(axis=1) >= MIN_UNITS
    held = data[(data["role"] == "heldout") & (data["method"] == "plain") & enough]
    answer = ""
    if not held.empty:
        answer = _answer(held, labels)
    notes = (
        "Z′ = 1 − 3 (SD of reference + SD of target) / |difference of means| of well embeddings projected on the line "
        "between the group means. 1: no spread at all. 0.5: the means lie six times the sum of both SDs apart, the "
        "usual mark of an excellent assay. 0: the 3-SD bands of both groups just touch; below, they overlap, while "
        "the means may still differ. plain: mean and SD, as the paper; robust: Algorithm A, as the authors' code.",
        f"Brackets: {100 * options.level:g} % bootstrap interval over wells, on the scale of log(1 − Z′), bias "
        "corrected: projection and spread come from the same wells, so Z′ of few wells is too high and may lie above "
        "its interval. Groups of fewer than three "
        "wells have none and are not part of the sentence above.",
    )
    return Table("Z′ between groups of control wells of the transfer screen.", data, pd.DataFrame(lines), notes, answer)


def _answer(held: pd.DataFrame, labels: list[str]) -> str:
    """Number of pairs of groups that reach the two marks of Z', by point value and by whole interval."""
    parts = []
    for label in labels:
        rows = held[held["label"] == label]
        counts = [
            f"{(rows['zprime'] >= mark).sum()} {what} ({(rows['low'] >= mark).sum()} with the whole interval)"
            for mark, what in ((GOOD, "of 0.5 or more"), (0, "of 0 or more"))
        ]
        parts.append(f"{label}: of {len(rows)} pairs {', '.join(counts)}")
    return (
        f"Plain Z′ between control groups on held-out plates, three wells or more per side. {'; '.join(parts)}. At 0 "
        "the 3-SD bands of both groups touch, at 0.5 an assay counts as excellent."
    )


def _value(value: float) -> str:
    return "−∞" if np.isneginf(value) else number(value, 2)


def _bounds(low: float, high: float) -> str:
    if np.isneginf(low) and not np.isnan(high):
        return f"[−∞, {_value(high)}]"
    return interval(low, high, 2)


def make(files: Files, settings: Settings) -> Table:
    """The table from transfer/{encoder}/zprime.parquet of every encoder."""
    return build(by_folder(files["zprime"]), settings.options)
