"""Accuracy on plates of other laboratories: OOD plates by source, beside the ID plates."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from campfire.core.columns import PLATE, SOURCE, TASK_QUADRANTS
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.report.tables import gaps
from campfire.report.tables.accuracies import interval_note
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, number
from campfire.report.tables.sources import ProbeResult, probe_results
from campfire.report.tables.verdict import ABOVE, verdict

OUTSIDE = [pair[1] for pair in TASK_QUADRANTS.values()]
"""The quadrants on OOD plates."""
OWN, OTHER = "OOD plates", "other laboratory"


@dataclass(frozen=True)
class _OnPlates(ProbeResult):
    """A result whose OOD quadrants hold these plates alone."""

    plates: frozenset[str]

    def predictions(self, protocol: str | None = None) -> pd.DataFrame:
        table = super().predictions(protocol)
        return table[~table["split"].isin(OUTSIDE) | table[PLATE].isin(self.plates)].reset_index(drop=True)


def laboratories(wells: pd.DataFrame) -> dict[str, tuple[str, frozenset[str]]]:
    """Source -> what its OOD plates are (OWN, OTHER) and which; a source with any ID or training plate is an own one.

    wells: split/wells.parquet.
    """
    out = wells[wells["split"].isin(OUTSIDE)]
    used = set(wells.loc[~wells["split"].isin([*OUTSIDE, "unused"]), SOURCE])
    return {
        str(source): (OWN if source in used else OTHER, frozenset(map(str, rows[PLATE].unique())))
        for source, rows in out.groupby(SOURCE)
    }


def build(results: Sequence[ProbeResult], wells: pd.DataFrame, options: TableOptions) -> Table:
    """Encoders on the leading channels, tasks and sources of OOD plates in rows; `data` as of `gaps.collect`.

    It has two columns more: source, and laboratory (OOD plates, other laboratory).
    """
    known = laboratories(wells)
    leading = [result for result in results if result.channels == options.id_channels]
    parts = []
    for source, (kind, plates) in sorted(known.items(), key=lambda item: (item[1][0] == OTHER, item[0])):
        chosen = [_OnPlates(result.encoder, result.channels, result.folder, plates) for result in leading]
        parts.append(gaps.collect(chosen, options).assign(source=source, laboratory=kind))
    if not parts:
        raise DataError("tables.laboratories: the split has no wells on OOD plates")
    data = pd.concat(parts, ignore_index=True)
    rank = {encoder: i for i, encoder in enumerate(options.order(list(data["encoder"].unique())))}
    data = data.sort_values(["encoder", "task"], key=lambda c: c.map(rank) if c.name == "encoder" else c, kind="stable")
    data = data.reset_index(drop=True)
    layout = pd.DataFrame(
        [
            {
                "Encoder": row["label"],
                "Task": gaps.task_of(row),
                "From": f"{row['laboratory']} ({row['source']})",
                **gaps.gap_of(row, "These plates"),
            }
            for row in data.to_dict("records")
        ]
    )
    gaps.show_once(layout, "Encoder", "Task")
    notes = (
        f"Protocol {options.protocol}, channels {options.channel_label(options.id_channels)}; a plate is embedded with "
        "those of them that it has. Other laboratory: no plate of that source was trained on, or is in distribution. "
        "Gap: accuracy on ID plates minus accuracy on these, same classifiers. " + interval_note(options),
        "Over plates: the interval for other plates of the same sources. One other laboratory says little about the "
        "next one. Plates: their number, ID / these.",
    )
    return Table("Accuracy on plates of other laboratories.", data, layout, notes, _answer(data))


def _answer(data: pd.DataFrame) -> str:
    other = data[data["laboratory"] == OTHER]
    first = other[other["encoder"] == data["encoder"].iloc[0]]
    parts = []
    for row in first.to_dict("records"):
        task = "control" if row["task"] == "control" else "held-out"
        low, high = (row["low_plates"], row["high_plates"]) if row["n_plates_ood"] > 2 else (row["low"], row["high"])
        sure = "falls" if verdict(low, high) == ABOVE else "is not shown to fall"
        parts.append(
            f"{task} compounds: accuracy {sure} from {number(row['id'])} to {number(row['ood'])} on {row['source']} "
            f"(chance {number(row['chance'])})"
        )
    return f"{first['label'].iloc[0]} in another laboratory, {'; '.join(parts)}." if parts else ""


def make(files: Files, settings: Settings) -> Table:
    """The table from the probes' files and split/wells.parquet."""
    return build(probe_results(files["probes"]), read_table(files["wells"][0]), settings.options)
