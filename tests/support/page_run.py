"""A small run for tests of the page: plates with images, tables and figures, and names that a page must not execute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.columns import CELL_KEYS
from campfire.core.files import read_table, write_table
from campfire.images.nuclei import NucleiOptions, segment_plate
from campfire.images.options import QualityOptions
from campfire.report.figures.contact_sheet import choose_sites, plate_limits
from campfire.report.figures.style import new_figure, save
from campfire.report.page.data import PlateFiles, PlateSummary, read_roles
from campfire.report.page.pictures import draw_pictures, save_pictures
from campfire.report.page.write import write_page
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table
from campfire.report.tables.render import save as save_table
from support.nuclei_fields import simulate_field, write_folder

PIXEL_UM = 20 / 30
EVIL = "</script><script>document.title='broken'</script>"
QUOTED = 'it\'s "quoted" & <b>bold</b>'


def write_plate(root: Path, plate: str, wells: Sequence[str], seed: int = 1, sites: int = 1) -> PlateFiles:
    """Images, nuclei, quality and small pictures of a plate; its last site is left out as blurred."""
    images: dict[tuple[str, str], Any] = {}
    for k, well in enumerate(wells):
        for site in range(1, sites + 1):
            dna = simulate_field((300, 330), 30, 12, seed=seed + 10 * k + site)[0]
            images[well, str(site)] = {"DNA": dna, "AGP": dna // 2, "Mito": dna // 3}
    folder = root / "images" / plate
    write_folder(folder, images, plate)
    nuclei, quality = segment_plate(folder, PIXEL_UM, NucleiOptions(border="pad"), QualityOptions(focus_min=-1e9))
    quality.loc[len(quality) - 1, ["kept", "reason"]] = False, "blurred"
    last = (nuclei["Metadata_Well"] == wells[-1]) & (nuclei["Metadata_Site"] == str(sites))
    nuclei.loc[last & nuclei["kept"], ["kept", "reason"]] = False, "site blurred"
    chosen = choose_sites(quality)
    limits = plate_limits(list(images.values()))
    pictures = draw_pictures(folder, quality, nuclei, chosen, limits, PIXEL_UM, 112)
    page = root / "page"
    save_pictures(
        pictures, page / f"sites/{plate}.jpg", page / f"cells/{plate}.jpg", page / f"pictures/{plate}.parquet"
    )
    write_table(quality, root / f"quality/{plate}.parquet")
    write_table(nuclei, root / f"nuclei/{plate}.parquet")
    facts = {"plate": plate, "batch": "B1", "type": "TARGET2", "role": "id"}
    tables = {name: str(root / f"{name}/{plate}.parquet") for name in ("quality", "nuclei")}
    return PlateFiles(facts, **tables, pictures=str(page / f"pictures/{plate}.parquet"))


def write_results(root: Path) -> list[Path]:
    """A table and a figure of the story."""
    layout = pd.DataFrame({"Encoder": [EVIL, "", "Second"], "Accuracy": ["**0.912**", "0.811", "−0.100"]})
    data = pd.DataFrame({"encoder": ["a", "b"], "accuracy": [0.9, 0.8]})
    written = save_table(Table("Which encoder?", data, layout, ("A note.",), f"{EVIL} wins."), root / "tables/ranking")
    figure = new_figure(3, 2)
    figure.subplots().plot([0, 1])
    drawn = pd.DataFrame({"n_wells": [12], "value": [1.0]})
    return [*written, *save(figure, drawn, root / "figures/ood_gap")]


def write_map(root: Path, wells: pd.DataFrame) -> Path:
    """The data of the figure of maps: wells on a diagonal, one not on the page, and cells of P1 on the other one."""
    table = wells[["Metadata_Plate", "Metadata_Well"]].assign(pc1=np.arange(5.0), pc2=np.arange(5.0), unit="well")
    table.loc[len(table)] = ["P9", "A01", 9.0, 9.0, "well"]
    cells = pd.DataFrame(columns=CELL_KEYS)
    if (root / "nuclei/P1.parquet").is_file():
        nuclei = read_table(root / "nuclei/P1.parquet")
        cells = nuclei.loc[nuclei["kept"], CELL_KEYS].reset_index(drop=True)
    cells = cells.assign(pc1=np.arange(0.0, -len(cells), -1), pc2=np.arange(float(len(cells))), unit="cell")
    path = root / "figures/embedding_map.csv"
    table = pd.concat([table, cells], ignore_index=True).astype({"Metadata_Nucleus": "Int64"})
    table.assign(encoder="Campfire", representation="raw", share1=0.6, share2=0.3).to_csv(path, index=False)
    return path


def write_run(root: Path) -> Path:
    """The page of two plates, one with names that try to break out of the page; its path."""
    plates = [write_plate(root, "P1", ["A01", "A02", "B02"], sites=2), write_plate(root, "P2", ["A01", "C03"], seed=7)]
    wells = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P1", "P1", "P2", "P2"],
            "Metadata_Well": ["A01", "A02", "B02", "A01", "C03"],
            "Metadata_JCP2022": ["JCP2022_033924", EVIL, QUOTED, "JCP2022_033924", EVIL],
            "split": ["train", "test", "test", "test_ood_plate", "test_ood_both"],
        }
    )
    write_table(wells, root / "split/wells.parquet")
    page = root / "page/index.html"
    roles = read_roles(root / "split/wells.parquet", None)
    options = TableOptions(compound_labels={QUOTED: f"{QUOTED} label"})
    results = [*write_results(root), write_map(root, wells)]
    write_page(page, plates, roles, results, options, f"Run {QUOTED}", lambda plate: root / f"page/plates/{plate}.js")
    return page


def many_plates(plates: int, wells: int, sites: int) -> tuple[list[PlateSummary], pd.DataFrame]:
    """Summaries and roles of as many plates, as a run of the paper's size has them."""
    rng = np.random.default_rng(0)
    names = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)][:wells]
    summaries, roles = [], []
    for number in range(plates):
        plate = f"BR{number:08d}"
        counted = pd.DataFrame({"Metadata_Well": names, "sites": sites, "kept": sites - 1})
        counted["nuclei"] = rng.integers(500, 2000, wells)
        counted["cells"] = counted["nuclei"] - 100
        counted["reasons"] = [{"site blurred", "nucleus edge", "nucleus border"}] * wells
        row = {"plate": plate, "batch": f"2021_0{number % 9}_Batch", "type": "COMPOUND", "role": "train"}
        totals = {name: int(counted[name].sum()) for name in ("sites", "kept", "nuclei", "cells")}
        summaries.append(PlateSummary({**row, **totals, "pictures": True}, counted, {}))
        compounds = [f"JCP2022_{k:06d}" for k in rng.integers(0, 100_000, wells)]
        roles.append(
            pd.DataFrame(
                {"Metadata_Plate": plate, "Metadata_Well": names, "Metadata_JCP2022": compounds, "split": "train"}
            )
        )
    return summaries, pd.concat(roles, ignore_index=True)
