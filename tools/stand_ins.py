"""What tools/true_size.py measures: plates of the real split as sparse tile arrays with tables of real size."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.columns import CELL_KEYS, NUCLEUS, PLATE, SITE, WELL
from campfire.core.files import write_table
from campfire.images.tiles.store import FORMAT, digest, well_digests
from campfire.report.page.pictures import MOST_CELLS
from campfire.runs.scale import SourceFacts
from campfire.screen.metadata import find_well_table, read_sheet, read_wells
from campfire.screen.split import SplitOptions, evaluation_plates, make_split, write_split

CHANNELS = ["DNA", "AGP", "Mito", "ER", "RNA"]
SIZE = 112


def write_plate(folder: Path, plate: str, wells: pd.DataFrame, channels: int) -> None:
    """A sparse tile array with its index, and the table of the plate's nuclei."""
    facts = SourceFacts()
    per_site = round(facts.cells_per_site)
    sites = round(facts.sites_per_well)
    names = np.repeat(np.sort(wells[WELL].unique()), sites * per_site)
    tiles = len(names)
    zero = zlib.crc32(bytes(channels * SIZE * SIZE * 2))
    index = pd.DataFrame(
        {
            PLATE: plate,
            WELL: names,
            SITE: np.tile(
                np.repeat([str(site + 1) for site in range(sites)], per_site), len(names) // (sites * per_site)
            ),
            NUCLEUS: np.tile(np.arange(1, per_site + 1, dtype=np.int32), len(names) // per_site),
            "row": np.arange(tiles),
            "crc32": np.full(tiles, zero, dtype=np.uint32),
        }
    )
    path = folder / f"tiles/{plate}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (tiles, channels, SIZE, SIZE)
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "<u2", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + tiles * channels * SIZE * SIZE * 2)
    description = {
        "format": FORMAT, "channels": CHANNELS[:channels], "shape": list(shape), "dtype": "uint16", "ranges": None,
        "bytes": path.stat().st_size, "wells": well_digests(index), "digest": digest(index),
    }  # fmt: skip
    write_table(index, path.with_suffix(".parquet"), description)
    write_plate_tables(folder, plate, index[CELL_KEYS])


def write_plate_tables(folder: Path, plate: str, nuclei: pd.DataFrame) -> None:
    """Tables of the plate's nuclei, sites and small pictures, as nuclei and contact sheets leave them."""
    count = len(nuclei)
    places = {"y": (np.arange(count) * 97 % 1080).astype(np.float32), "x": (np.arange(count) * 61 % 1080) / 1.7}
    nuclei = nuclei.assign(**places, area=400, intensity=np.float32(300), kept=True, reason="")
    write_table(nuclei, folder / f"nuclei/{plate}.parquet")
    sites = nuclei.drop_duplicates([WELL, SITE])[[PLATE, WELL, SITE]].reset_index(drop=True)
    measures = {
        "nuclei": count // len(sites),
        "focus_DNA": -2.868,
        "saturated_DNA": 0.0,
        "background_DNA": 44.0,
        "debris": 0,
    }
    write_table(sites.assign(**measures, kept=True, reason=""), folder / f"quality/{plate}.parquet")
    pictured = sites.drop_duplicates(WELL).assign(**{NUCLEUS: -1})
    pictured["place"] = np.arange(len(pictured))
    each = max(1, MOST_CELLS // len(pictured))
    cells = pictured.loc[pictured.index.repeat(each)].assign(
        **{NUCLEUS: np.tile(np.arange(1, each + 1), len(pictured))}
    )
    cells["place"] = np.arange(len(cells))
    facts = {"site_px": 155, "cell_px": 56, "columns": 35, "step": 7, "channels": CHANNELS[:3], "um_per_px": 4.19}
    write_table(pd.concat([pictured, cells]), folder / f"pictures/{plate}.parquet", facts)


def make(folder: Path, metadata: Path, plates: int) -> dict[str, Any]:
    """The split and every plate's stand-ins; the first evaluation plates and then training plates of the sheet."""
    sheet = read_sheet(Path(__file__).parents[1] / "config/plates.tsv")
    split = make_split(sheet, read_wells(find_well_table(metadata), sheet), SplitOptions())
    write_split(folder / "wells.parquet", split)
    used = split.wells[split.wells["split"] != "unused"]
    evaluated = set(evaluation_plates(split.wells))
    names = sorted(used[PLATE].unique(), key=lambda name: (name not in evaluated, name))
    half = min(len(evaluated), max(1, plates // 2))
    chosen = [*names[:half], *names[len(evaluated) : len(evaluated) + plates - half]]
    for name in chosen:
        write_plate(folder, name, used[used[PLATE] == name], len(CHANNELS) if name in evaluated else 3)
    return {"plates": len(chosen), "wells": int(used[PLATE].isin(chosen).sum())}
