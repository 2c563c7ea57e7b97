"""How much a run reads and writes, computed from its split and the published facts of the image source.

`campfire scale` prints the tables in markdown. Bytes of TIFFs and nuclei are means over all of
source_3; the real numbers of a plate differ by its compression and cell density, and the download plan of each plate
gives its own.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core.columns import CHANNELS, COMPOUND, PLATE, PROTOCOLS, WELL, ProtocolName
from campfire.core.errors import in_one_line
from campfire.core.files import read_table
from campfire.core.options import TILE_SIZE
from campfire.core.text import markdown_table
from campfire.evaluation.sampling import HELDOUT_SPLITS, SampleOptions
from campfire.screen.metadata import CONTROLS, find_well_table, read_sheet, read_wells
from campfire.screen.split import SplitOptions, assign_wells, evaluation_plates


@dataclass(frozen=True)
class SourceFacts:
    """Published totals of an image source; the defaults are JUMP's source_3.

    plates, wells, sites: well and site counts of jump-cellpainting/datasets (stats/): 303 plates, 384 wells and 3,456
    sites each, so 9 sites per well.
    tiffs, tiff_bytes: objects and bytes of all its TIFFs in the Cell Painting Gallery (stats/), brightfield included.
    cells: estimate of the segmented cells of all its plates (stats/).
    image_px: image height and width (the illumination functions are float32 of that shape; certain for source_4, same
    instrument).
    """

    plates: int = 303
    wells: int = 303 * 384
    sites: int = 303 * 3456
    tiffs: int = 7_188_480
    tiff_bytes: int = 18_197_060_600_282
    cells: float = 156_685_049
    image_px: int = 1080

    @property
    def sites_per_well(self) -> float:
        """Sites of a well."""
        return self.sites / self.wells

    @property
    def bytes_per_tiff(self) -> float:
        """Mean bytes of a TIFF."""
        return self.tiff_bytes / self.tiffs

    @property
    def cells_per_site(self) -> float:
        """Mean number of cells in a site, an upper bound of the tiles cut from it."""
        return self.cells / self.sites


def run_scale(
    table: pd.DataFrame,
    training_channels: int = 3,
    evaluation_channels: int = len(CHANNELS),
    tile_px: int = TILE_SIZE,
    bytes_per_value: int = 2,
    illumination: bool = False,
    facts: SourceFacts | None = None,
) -> pd.DataFrame:
    """What a run fetches and keeps, from split/wells.parquet: one row per part of the run.

    Parts: evaluation plates (all their channels: probes use channel sets that pretraining does not), training plates
    (the pretraining channels of paper section 3.1), total, everything (every well of these plates, all channels), saved
    (1 - total / everything, the only row of shares) and the largest plate (images that lie on disk at one time for each
    concurrent plate). Columns: part, plates, wells, sites, objects (files fetched), bytes (of these), nuclei,
    tile_bytes (nuclei x channels x tile_px^2 x bytes_per_value). `illumination` adds one float32 function per channel
    and plate. Nuclei are before the border and quality filters, so tiles are an upper bound.
    """
    facts = facts or SourceFacts()
    on_evaluation = table[PLATE].isin(evaluation_plates(table))
    used = table["split"] != "unused"
    tile = tile_px * tile_px * bytes_per_value
    function = 4 * facts.image_px**2 if illumination else 0

    def part(name: str, rows: pd.DataFrame, channels: int) -> dict[str, Any]:
        plates, sites = rows[PLATE].nunique(), len(rows) * facts.sites_per_well
        nuclei = sites * facts.cells_per_site
        functions = plates * channels if illumination else 0
        return {
            "part": name,
            "plates": plates,
            "wells": len(rows),
            "sites": sites,
            "objects": sites * channels + functions,
            "bytes": sites * channels * facts.bytes_per_tiff + functions * function,
            "nuclei": nuclei,
            "tile_bytes": nuclei * channels * tile,
        }

    evaluation = part("evaluation plates", table[used & on_evaluation], evaluation_channels)
    training = part("training plates", table[used & ~on_evaluation], training_channels)
    everything = part("everything", table, evaluation_channels)
    total: dict[str, Any]
    saved: dict[str, Any]
    total, saved = {"part": "total"}, {"part": "saved"}
    for name in list(everything)[1:]:
        total[name] = evaluation[name] + training[name]
        saved[name] = 1 - total[name] / everything[name] if everything[name] else 0.0
    per_plate = [
        part("largest plate", rows, evaluation_channels if evaluated else training_channels)
        for (evaluated, _), rows in table[used].groupby([on_evaluation[used], PLATE])
    ]
    largest = max(per_plate, key=lambda row: row["bytes"], default=part("largest plate", table[:0], 0))
    return pd.DataFrame([evaluation, training, total, everything, saved, largest])


def probe_scale(
    table: pd.DataFrame,
    options: SampleOptions | None = None,
    controls: Sequence[str] = CONTROLS,
    facts: SourceFacts | None = None,
) -> pd.DataFrame:
    """Cells that the probes use at most, for each encoder and channel set, against embedding every cell.

    One row per protocol and task, then "embed: sampled" (the largest union: release and the per-well draws may share
    cells) and "embed: all" (every nucleus of wells with a role on evaluation plates). Columns: protocol, task, groups
    (wells; for release controls plate, compound and split), cells, share (of all).
    """
    options, facts = options or SampleOptions(), facts or SourceFacts()
    wells = table[table[PLATE].isin(evaluation_plates(table)) & (table["split"] != "unused")]
    control = wells[wells[COMPOUND].isin(list(controls))]
    held = wells[wells["split"].isin(HELDOUT_SPLITS)]
    everything = len(wells) * facts.sites_per_well * facts.cells_per_site
    rows: list[dict[str, Any]] = []
    union: dict[str, dict[bool, int]] = {"control": {}, "heldout": {}}
    for protocol in options.protocols:
        pooled = control.drop_duplicates([PLATE, COMPOUND, "split"])
        groups = {
            "control": len(pooled if protocol == "release" else control.drop_duplicates([PLATE, WELL])),
            "heldout": len(held),
        }
        for task, count in groups.items():
            cells = count * options.cells(task)
            union[task][protocol == "release"] = cells  # strict draws the cells of paper
            rows.append({"protocol": protocol, "task": task, "groups": count, "cells": cells})
    sampled = sum(sum(kinds.values()) for kinds in union.values())
    rows.append({"protocol": "all", "task": "embed: sampled", "groups": len(control) + len(held), "cells": sampled})
    rows.append({"protocol": "all", "task": "embed: all", "groups": len(wells), "cells": round(everything)})
    result = pd.DataFrame(rows)
    return result.assign(share=result["cells"] / everything if everything else 0.0)


def to_markdown(table: pd.DataFrame) -> str:
    """A table of `run_scale` or `probe_scale` in markdown: bytes in TB or GB, counts with thousands separators."""
    text = table.astype(object)
    for i, row in text.iterrows():
        share = row.iloc[0] == "saved"
        for name in text.columns:
            value = row[name]
            if isinstance(value, str):
                continue
            if share or name == "share":
                text.loc[i, name] = f"{100 * value:.1f} %"
            elif name.endswith("bytes"):
                text.loc[i, name] = f"{value / 1e12:.2f} TB" if value >= 1e12 else f"{value / 1e9:.1f} GB"
            else:
                text.loc[i, name] = f"{value:,.0f}"
    header = [str(name).replace("_", " ") for name in text.columns]
    return markdown_table(header, text.to_numpy().tolist(), range(1, len(header)))


def add_split_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `given_splits` reads."""
    parser.add_argument("--split", type=Path, help="split/wells.parquet of a run; else it is made from the two below")
    parser.add_argument("--plates", type=Path, default=Path("config/plates.tsv"), help="sheet of plates")
    parser.add_argument("--metadata", type=Path, help="folder with well.csv.gz, or the well table")


def given_splits(
    parser: argparse.ArgumentParser, options: argparse.Namespace, protocols: Sequence[ProtocolName]
) -> dict[str, pd.DataFrame]:
    """The split of a run by its file, or made from sheet and well table, one for each of `protocols`."""
    if options.split:
        return {str(options.split): read_table(options.split)}
    if not options.metadata:
        parser.error("give --split, or --metadata with the folder of JUMP's metadata tables")
    sheet = read_sheet(options.plates)
    wells = read_wells(find_well_table(options.metadata), sheet)
    return {name: assign_wells(sheet, wells, SplitOptions(protocol=name)) for name in protocols}


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 printed, 1 an error that the message explains."""
    parser = argparse.ArgumentParser(prog="campfire scale", description=__doc__)
    add_split_arguments(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append", help="split protocol; may be repeated")
    parser.add_argument("--training-channels", type=int, default=3, help="channels that training plates need")
    parser.add_argument("--illumination", action="store_true", help="count the Gallery's illumination functions too")
    options = parser.parse_args(arguments)
    protocols = [name for name in PROTOCOLS if not options.protocol or name in options.protocol]
    for name, table in given_splits(parser, options, protocols).items():
        scale = run_scale(table, options.training_channels, illumination=options.illumination)
        print(f"Split {name}\n\n{to_markdown(scale)}\n\n{to_markdown(probe_scale(table))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
