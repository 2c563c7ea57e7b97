"""Writing a simulated screen: images and load_data as the Cell Painting Gallery lays them out, metadata, sheets."""

import dataclasses
import logging
import multiprocessing
import os
import shutil
import time
import uuid
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import BATCH, CHANNELS, COMPOUND, NUCLEUS, PLATE, PLATE_TYPE, SITE, SOURCE, WELL
from campfire.core.files import write_json, write_table
from campfire.core.memory import keep_freed_memory
from campfire.screen.wells import well_position
from campfire.simulate.layout import (
    CHANNEL_NUMBERS,
    PIXEL_SIZE_UM,
    Layout,
    Plate,
    Well,
    generator_of,
    plan_screen,
    well_effects,
)
from campfire.simulate.options import ScreenOptions

log = logging.getLogger(__name__)

CELLS_AT_ONCE = 4
"""Cells drawn together: their arrays then fit the processor's cache."""

__all__ = ["PIXEL_SIZE_UM", "ScreenOptions", "render_site", "write_screen"]


def render_site(options: ScreenOptions, plate: Plate, well: Well, site: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """One site as the camera sees it.

    Returns images (5, field, field) uint16 in the order of core.columns.CHANNELS and the labels (field, field) int32
    of the true nuclei, 0 where there is none; a camera of another pixel size sees the same field in more or fewer
    pixels. The same arguments give the same bytes.
    """
    from campfire.simulate import cells, field, phenotype, texture

    rng = generator_of(options, "site", plate.name, well.name, site)
    atlas = texture.make_atlas(options.seed, cells.WINDOW)
    shifts, density = well_effects(options, plate, well)
    # Cells are also placed in a rim of 20 px around the field, so that its border cuts through some.
    area = ((options.field + 40) / options.field) ** 2
    count = max(1, int(rng.poisson(options.cells * density * area)))
    drawn = phenotype.draw_cells(count, shifts, options.penetrance, rng, well.treatment.effect())
    points = field.place(count, options.field, field.spacing(drawn), rng)
    canvas = field.Canvas(options.field)
    for start in range(0, len(points), CELLS_AT_ONCE):
        some = slice(start, min(start + CELLS_AT_ONCE, len(points)))
        canvas.add(cells.draw({name: values[some] for name, values in drawn.items()}, atlas, rng), points[some])
    pixels = side(options, plate)
    light, labels = field.at_scale(canvas.light, canvas.labels, pixels)
    return field.photograph(light, plate.optics, rng), labels


def side(options: ScreenOptions, plate: Plate) -> int:
    """Side of the plate's images, px."""
    return round(options.field * PIXEL_SIZE_UM / plate.pixel_size_um)


def write_screen(root: str | Path, options: ScreenOptions | None = None) -> Layout:
    """Simulate a screen into the folder `root` and return its plan; the same options give the same bytes.

    Replaces the output of an earlier run; each part is renamed into place when complete:
    s3/<bucket>/<prefix>/<source>/images and workspace/load_data_csv*   the objects for an S3 server
    metadata/{plate,well,compound}.csv.gz                               JUMP's tables
    plates.tsv, transfer.tsv                                            the sheets of the two screens
    truth/nuclei.parquet, truth/screen.json                             true nuclei, what each treatment changes
    """
    options = options or ScreenOptions()
    root = Path(root)
    layout = plan_screen(options)
    started = time.perf_counter()
    work = root / f".partial-{uuid.uuid4().hex[:8]}"
    try:
        bucket = work / "s3" / options.bucket
        plates = layout.everything
        log.info("simulating %d plates, %d wells", len(plates), sum(len(plate.wells) for plate in plates))
        truth: dict[str, pd.DataFrame] = {}
        if options.workers == 1:
            for plate in plates:
                truth[plate.name] = _write_plate(bucket, options, plate)
        else:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(options.workers, mp_context=context, initializer=keep_freed_memory) as pool:
                jobs = {pool.submit(_write_plate, bucket, options, plate): plate for plate in plates}
                for job in as_completed(jobs):
                    truth[jobs[job].name] = job.result()
                    elapsed = time.perf_counter() - started
                    log.info("simulated %s (%d of %d, %.0f s)", jobs[job].name, len(truth), len(plates), elapsed)
        _write_tables(work, options, layout)
        table = pd.concat([truth[plate.name] for plate in plates], ignore_index=True)
        write_table(table, work / "truth" / "nuclei.parquet", {"pixel_size_um": PIXEL_SIZE_UM})
        for part in sorted(work.iterdir()):
            target = root / part.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(part, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return layout


def _write_plate(bucket: Path, options: ScreenOptions, plate: Plate) -> pd.DataFrame:
    """Write a plate's images, illumination functions and load_data; return its true nuclei."""
    import tifffile
    from skimage.measure import regionprops_table

    home = f"{options.prefix}/{plate.source or options.source}"
    images = f"{home}/images/{plate.batch}/images/{plate.folder}/Images"
    (bucket / images).mkdir(parents=True)
    numbers = CHANNEL_NUMBERS[plate.channel_numbers]
    rows, truth = [], []
    for well in plate.wells:
        row, column = (place + 1 for place in well_position(well.name))
        for site in range(1, options.sites + 1):
            pixels, labels = render_site(options, plate, well, site)
            names = {}
            for channel in plate.channels:
                names[channel] = f"r{row:02d}c{column:02d}f{site:02d}p01-ch{numbers[channel]}sk1fk1fl1.tiff"
                image = pixels[CHANNELS.index(channel)]
                if plate.corrupt and well is plate.wells[-1] and site == 1 and channel == "AGP":
                    image = np.zeros_like(image)
                tifffile.imwrite(bucket / images / names[channel], image, compression="lzw", metadata=None)
            rows.append({"well": well.name, "site": site, "row": row, "column": column, "names": names})
            found = regionprops_table(labels, properties=("label", "centroid", "area"))
            truth.append(
                pd.DataFrame(
                    {
                        PLATE: plate.name,
                        WELL: well.name,
                        SITE: str(site),
                        NUCLEUS: found["label"].astype(np.int32),
                        "y": found["centroid-0"].astype(np.float32),
                        "x": found["centroid-1"].astype(np.float32),
                        "area": found["area"].astype(np.int32),
                    }
                )
            )
    illum = f"{home}/images/{plate.batch}/illum/{plate.name}"
    if options.illumination:
        from campfire.simulate.field import illumination

        (bucket / illum).mkdir(parents=True)
        shade = illumination(side(options, plate), plate.optics)
        for channel in plate.channels:
            np.save(bucket / illum / f"{plate.name}_Illum{channel}.npy", (shade / shade.mean()).astype(np.float32))
    _write_load_data(bucket, options, plate, rows, images, illum)
    return pd.concat(truth, ignore_index=True)


def _write_load_data(
    bucket: Path, options: ScreenOptions, plate: Plate, rows: list[dict[str, Any]], images: str, illum: str
) -> None:
    """load_data in the plate's style; the order of the columns differs by plate, as in the gallery."""
    address = f"s3://{options.bucket}"
    parquet = plate.load_data == "parquet_orig"
    with_illum = options.illumination and plate.load_data != "csv"
    table = []
    for row in rows:
        record: dict[str, str] = {}
        for channel in plate.channels:
            name = row["names"][channel]
            if parquet:
                record[f"FileName_Orig{channel}"] = name
                record[f"PathName_Orig{channel}"] = f"{address}/{images}/"
            else:
                record[f"URL_Orig{channel}"] = f"{address}/{images}/{name}"
            if with_illum and parquet:
                record[f"FileName_Illum{channel}"] = f"{plate.name}_Illum{channel}.npy"
                record[f"PathName_Illum{channel}"] = f"{address}/{illum}/"
            elif with_illum:
                record[f"URL_Illum{channel}"] = f"{address}/{illum}/{plate.name}_Illum{channel}.npy"
        record |= {
            SOURCE: plate.source or options.source,
            BATCH: plate.batch,
            PLATE: plate.name,
            WELL: row["well"],
            SITE: str(row["site"]),
            "Metadata_Row": str(row["row"]),
            "Metadata_Col": str(row["column"]),
            "Metadata_FieldID": str(row["site"]),
            "Metadata_ImageResolutionX": f"{plate.pixel_size_um * 1e-6:.6e}",
            "Metadata_ImageResolutionY": f"{plate.pixel_size_um * 1e-6:.6e}",
            "Metadata_ImageSizeX": str(side(options, plate)),
            "Metadata_ImageSizeY": str(side(options, plate)),
        }
        table.append(record)
    columns = list(table[0])
    order = generator_of(options, "columns", plate.name).permutation(len(columns))
    frame = pd.DataFrame(table, dtype=object)[[columns[i] for i in order]]
    layer = "load_data_csv_orig" if parquet else "load_data_csv"
    folder = bucket / options.prefix / (plate.source or options.source) / "workspace" / layer / plate.batch / plate.name
    folder.mkdir(parents=True)
    if parquet:
        frame.to_parquet(folder / "load_data_with_illum.parquet", index=False)
    else:
        frame.to_csv(folder / ("load_data_with_illum.csv" if with_illum else "load_data.csv"), index=False)


def _write_tables(work: Path, options: ScreenOptions, layout: Layout) -> None:
    """JUMP's metadata tables and the two sheets."""
    gzip = {"method": "gzip", "mtime": 0}
    folder = work / "metadata"
    folder.mkdir(parents=True)
    plates = [
        {SOURCE: p.source or options.source, BATCH: p.batch, PLATE: p.name, PLATE_TYPE: p.plate_type, "role": p.role}
        for p in layout.everything
    ]
    columns = [SOURCE, BATCH, PLATE, PLATE_TYPE]
    pd.DataFrame(plates)[columns].to_csv(folder / "plate.csv.gz", index=False, compression=gzip)
    wells = [
        {SOURCE: p.source or options.source, PLATE: p.name, WELL: w.name, COMPOUND: w.compound}
        for p in layout.everything
        for w in p.wells
    ]
    pd.DataFrame(wells).to_csv(folder / "well.csv.gz", index=False, compression=gzip)
    ids = sorted({w.compound for p in layout.plates for w in p.wells})
    # Simulated compounds have no structure; the columns are there because JUMP's table has them.
    chemistry = dict.fromkeys(["Metadata_InChIKey", "Metadata_InChI", "Metadata_SMILES"], "")
    pd.DataFrame([{COMPOUND: i, **chemistry} for i in ids]).to_csv(
        folder / "compound.csv.gz", index=False, compression=gzip
    )
    sheet = pd.DataFrame(plates[: len(layout.plates)])
    if options.other_plates:
        others = [plate if plate.source else None for plate in layout.plates]
        sheet["pixel_size_um"] = [f"{plate.pixel_size_um:g}" if plate else "" for plate in others]
        sheet["channels"] = ["+".join(plate.channels) if plate else "" for plate in others]
    sheet.to_csv(work / "plates.tsv", sep="\t", index=False)
    transfer = [
        {
            SOURCE: options.source, BATCH: p.batch, PLATE: p.name, WELL: w.name, "group": p.group,
            "control": w.control, "treatment": w.compound, "role": p.role,
        }
        for p in layout.transfer
        for w in p.wells
    ]  # fmt: skip
    if transfer:
        pd.DataFrame(transfer).to_csv(work / "transfer.tsv", sep="\t", index=False)
    treatments = {w.compound: w.treatment.mechanisms for p in layout.everything for w in p.wells}
    truth = {
        "options": options.model_dump(mode="json"),
        "treatments": treatments,
        "plates": {p.name: {"optics": dataclasses.asdict(p.optics), "shift": p.shift} for p in layout.everything},
    }
    write_json(work / "truth" / "screen.json", truth)
