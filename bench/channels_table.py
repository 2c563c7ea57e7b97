"""Tables of docs/channels.md from the JSON lines that bench/channels_long.py writes.

    python bench/channels_table.py OUT
    python bench/channels_table.py --lines channels.jsonl       (of `bench/channels.py --append`)

Means over seeds; brackets hold the range, `±` half of a 95 % interval (Student's t over seeds). Differences are
candidate minus default after as many steps, with Welch's interval, not adjusted for the number of candidates.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from channel_candidates import DEFAULT, OLD
from scipy import stats

CHANNELS = ("DNA", "AGP", "Mito", "ER", "RNA")
QUADRANTS = {
    "ID": "control_test",
    "OOD plates": "control_test_ood_plate",
    "held out, ID": "heldout_test_ood_compound",
    "held out, OOD plates": "heldout_test_ood_both",
}
BLIND = 0.9
"""Blindness from which the trainer warns."""


def mean_and_range(values: "pd.Series[float]") -> str:
    """`0.52 [0.50, 0.55]`; without brackets where all seeds agree, `-` where none has the value."""
    known = values.dropna()
    if known.empty:
        return "-"
    low, high = f"{known.min():.2f}", f"{known.max():.2f}"
    return f"{known.mean():.2f}" if low == high else f"{known.mean():.2f} [{low}, {high}]"


def mean_and_interval(values: "pd.Series[float]") -> str:
    """`0.52 ± 0.03`: mean, and half of the 95 % interval over seeds."""
    known = values.dropna()
    if len(known) < 2:
        return "-" if known.empty else f"{known.mean():.2f}"
    half = stats.t.ppf(0.975, len(known) - 1) * known.std() / np.sqrt(len(known))
    return f"{known.mean():.2f} ± {half:.2f}"


def difference(values: "pd.Series[float]", reference: "pd.Series[float]") -> str:
    """`-0.031 [-0.052, -0.010]`: values minus reference, Welch's 95 % interval."""
    values, reference = values.dropna(), reference.dropna()
    if len(values) < 2 or len(reference) < 2:
        return "-"
    interval = stats.ttest_ind(values, reference, equal_var=False).confidence_interval(0.95)
    return f"{values.mean() - reference.mean():+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def measured(rows: pd.DataFrame) -> list[str]:
    """Channels with a masked error, in the paper's order."""
    return [c for c in CHANNELS if rows.get(f"masked_error_{c}", pd.Series(dtype=float)).notna().any()]


def with_summaries(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with means over channels (`error`) and pairs (`likeness`, `targets`); whether every channel is below
    the first floor (`first`) and the second (`back`)."""
    channels = measured(rows)
    errors = rows[[f"masked_error_{c}" for c in channels]]
    floors = {f: rows[[f"floor_{f}_{c}" for c in channels]].to_numpy() for f in ("tile", "blind")}
    pairs = [f"{a}_{b}" for i, a in enumerate(channels) for b in channels[i + 1 :]]
    return rows.assign(
        error=errors.mean(axis=1),
        likeness=rows[[f"likeness_{p}" for p in pairs]].mean(axis=1),
        targets=rows[[f"likeness_target_{p}" for p in pairs]].mean(axis=1),
        first=(errors.to_numpy() < floors["tile"]).all(axis=1),
        back=(errors.to_numpy() < floors["blind"]).all(axis=1),
        blind=rows["blindness"] >= BLIND,
    )


def groups(rows: pd.DataFrame) -> list[tuple[tuple[str, int], pd.DataFrame]]:
    """Seeds of each candidate and number of steps: the default and the old one first, then by the mean of `error`."""
    found = [((str(name), int(str(steps))), part) for (name, steps), part in rows.groupby(["candidate", "steps"])]
    first = {DEFAULT: 0, OLD: 1}
    return sorted(found, key=lambda group: (first.get(group[0][0], 2), float(group[1]["error"].mean())))


def markdown(header: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def reconstruction(rows: pd.DataFrame) -> str:
    """Masked error per channel against both floors, likeness, blindness and what became of the seeds."""
    rows = with_summaries(rows)
    channels = measured(rows)
    known = rows.dropna(axis=1, how="all")
    other = [c for c in ("ER", "RNA") if c not in channels and f"unseen_masked_error_{c}" in known]
    lines = []
    for (name, steps), part in groups(rows):
        values = [mean_and_range(part[f"masked_error_{c}"]) for c in channels]
        values += [mean_and_range(part[f"unseen_masked_error_{c}"]) for c in other]
        values += [f"{part['likeness'].mean():.2f}", mean_and_range(part["blindness"])]
        counts = [f"{int(part[c].sum())} of {len(part)}" for c in ("blind", "first", "back")]
        lines.append([name, str(steps), *values, *counts])
    for text, prefix in (("floor 1: mean tile", "floor_tile"), ("floor 2: mean of channels", "floor_blind")):
        floors = [f"{rows[f'{prefix}_{c}'].mean():.2f}" for c in channels]
        floors += [f"{rows[f'unseen_{prefix}_{c}'].mean():.2f}" for c in other]
        lines.append([text, "", *floors, "", "", "", "", ""])
    lines.append(["targets", "", *[""] * len(channels + other), f"{rows['targets'].mean():.2f}", "", "", "", ""])
    header = ["candidate", "steps", *channels, *[f"{c}, unseen" for c in other], "likeness", "blindness"]
    return markdown([*header, "blind", "below floor 1", "below floor 2"], lines)


def with_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with `trained` and `unseen`: the accuracy of each channel set, mean of the four quadrants."""
    sets = {s: rows[[f"probe_{s}_{q}" for q in QUADRANTS.values()]].mean(axis=1) for s in ("trained", "unseen")}
    return rows.assign(**sets)


def probes(rows: pd.DataFrame) -> str:
    """Accuracy by quadrant of all trained channels and of DNA, ER, RNA."""
    labels = {"trained": "trained", "unseen": "DNA, ER, RNA"}
    names = {f"{label}: {q}": f"probe_{s}_{column}" for s, label in labels.items() for q, column in QUADRANTS.items()}
    lines = [
        [name, str(steps), str(len(part)), *[mean_and_interval(part[column]) for column in names.values()]]
        for (name, steps), part in groups(with_means(rows).assign(error=lambda table: -table["trained"]))
    ]
    return markdown(["candidate", "steps", "seeds", *names], lines)


def differences(runs: pd.DataFrame, accuracy: pd.DataFrame) -> str:
    """Candidates minus the default trained for as many steps: masked error and accuracy."""
    rows = with_summaries(runs)[["candidate", "seed", "steps", "error"]]
    columns = ["candidate", "seed", "steps", "trained", "unseen"]
    known = with_means(accuracy)[columns] if len(accuracy) else pd.DataFrame(columns=columns, dtype=float)
    rows = rows.merge(known, on=columns[:3], how="left")
    lines = []
    for (name, steps), part in groups(rows):
        default = rows[(rows["candidate"] == DEFAULT) & (rows["steps"] == steps)]
        if name != DEFAULT and len(default):
            found = [difference(part[c], default[c]) for c in ("error", "trained", "unseen")]
            lines.append([name, str(steps), f"{len(part)}, {len(default)}", *found])
    return markdown(["candidate", "steps", "seeds", "masked error", "probe, trained", "probe, DNA, ER, RNA"], lines)


def shares(rows: pd.DataFrame) -> str:
    """Masked error as a share of the mean tile's, so that inputs of other scales compare; accuracy minus the default's.

    `rows` are the lines of bench/channels.py: `epochs` in place of `steps`, its name of the default, all in one row.
    """
    rows = with_means(rows)
    kinds = {"": [c for c in CHANNELS if f"masked_error_{c}" in rows], "unseen_": ["ER", "RNA"]}
    columns = {
        f"{k}{c}": rows[f"{k}masked_error_{c}"] / rows[f"{k}floor_tile_{c}"] for k, v in kinds.items() for c in v
    }
    rows = rows.assign(**columns, steps=rows["epochs"], error=-rows["trained"])
    lines = []
    for (name, epochs), part in groups(rows):
        default = rows[(rows["candidate"] == DEFAULT) & (rows["epochs"] == epochs)]
        line = [name, str(epochs), str(len(part)), *[mean_and_range(part[c]) for c in columns]]
        line += [mean_and_range(part["likeness_AGP_Mito"]), mean_and_range(part["blindness"])]
        for channel_set in ("trained", "unseen"):
            own = mean_and_range(part[channel_set])
            line.append(own if name == DEFAULT else difference(part[channel_set], default[channel_set]))
        lines.append(line)
    names = [name.replace("unseen_", "unseen ") for name in columns]
    header = [
        "candidate",
        "epochs",
        "seeds",
        *names,
        "AGP and Mito alike",
        "blindness",
        "probe",
        "probe, DNA + ER + RNA",
    ]
    return markdown(header, lines)


def report(runs: pd.DataFrame, accuracy: pd.DataFrame) -> None:
    """Every table of each screen; runs shortened to the same number of steps are one run, counted once."""
    same = ["data", "candidate", "seed", "steps"]
    runs = runs.drop_duplicates(same)
    accuracy = accuracy.drop_duplicates(same) if len(accuracy) else accuracy
    for data, part in runs.groupby("data"):
        print(f"\n### {data}\n\n{reconstruction(part)}")
        known = accuracy[accuracy["data"] == data] if len(accuracy) else accuracy
        if len(known):
            print(f"\n{probes(known)}")
        print(f"\n{differences(part, known)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="folder with runs.jsonl and probes.jsonl")
    parser.add_argument("--lines", type=Path, help="lines of bench/channels.py")
    arguments = parser.parse_args()
    if arguments.lines:
        rows = pd.read_json(arguments.lines, lines=True)
        print(shares(rows.replace({"candidate": {"tile, mean before centring": DEFAULT}})))
    if arguments.out is None:
        return
    folder = arguments.out
    lines = [folder / f"{kind}.jsonl" for kind in ("runs", "probes")]
    runs, accuracy = (pd.read_json(p, lines=True) if p.is_file() else pd.DataFrame() for p in lines)
    report(runs, accuracy)


if __name__ == "__main__":
    main()
