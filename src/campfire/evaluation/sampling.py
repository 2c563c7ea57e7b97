"""The sample of cells for each probe, drawn once before embedding and shared by all encoders and channel sets."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import (
    CELL_KEYS,
    COMPOUND,
    NUCLEUS,
    PLATE,
    PROTOCOLS,
    SITE,
    TASK_QUADRANTS,
    WELL,
    WELL_KEYS,
)
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import read_table
from campfire.evaluation.options import SampleOptions
from campfire.screen.metadata import CONTROLS
from campfire.screen.split import evaluation_plates
from campfire.screen.split.report import RELEASE_LABELS
from campfire.screen.wells import well_position

log = logging.getLogger(__name__)

HELDOUT_SPLITS = TASK_QUADRANTS["heldout"]
REFERENCE = "reference"
"""Protocol and task of cells used only to normalise their plate."""
COLUMNS = ["protocol", "task", *CELL_KEYS, COMPOUND, "split", "order"]
Short = dict[str, int]
"""Groups with fewer cells than are to be drawn: plate and well, or compound and split, and how many they have."""


def draw_cells(
    cells: pd.DataFrame,
    protocol: str,
    task: str,
    n: int | None = None,
    seed: int = 100,
    controls: Sequence[str] = CONTROLS,
    too_few: str = "take_all",
    sort: bool = True,
    include_unused: bool = False,
) -> pd.DataFrame:
    """Draw the cells of one probe task: one row per cell, columns of sample/cells.parquet, plates sorted.

    `cells` are kept nuclei of the evaluation plates: CELL_KEYS, Metadata_JCP2022, split (see `label_cells`). `n`
    defaults to 100 for `control` and 30 for `heldout` (paper section 3.2). Tasks: `control` takes the cells of
    `controls` in every split; `heldout` those in test_ood_compound and test_ood_both.

    release: NumPy's legacy generator is reseeded for each plate. Controls are grouped by compound and split, so the
    wells of a group are pooled; held-out cells by well. Identical to the released code when `cells` has its row order
    (`sort=False`) and includes the cells of wells without a role: these consume draws and are then dropped, unless
    `include_unused`.
    paper: n cells from each well that has a role. Each well has its own generator, so the draw does not depend on which
    other wells are present, and a smaller n draws the first cells of a larger one.
    strict: the same cells as paper, so that the protocols differ in the probe only; the cells of a well are
    contiguous and of one split, and any further division must keep wells whole.

    A group with fewer than `n` cells contributes all of them, with a warning, or raises DataError
    (`too_few="error"`).
    `sort` orders cells by key; False keeps the given order within a plate. The order of plates never matters.
    """
    n = (100 if task == "control" else 30) if n is None else n
    drawn, short = _draw(cells, protocol, task, n, seed, controls, too_few, sort, include_unused)
    _warn_of_short(short, task, n)
    return drawn


def _draw(
    cells: pd.DataFrame,
    protocol: str,
    task: str,
    n: int,
    seed: int,
    controls: Sequence[str],
    too_few: str,
    sort: bool = True,
    include_unused: bool = False,
) -> tuple[pd.DataFrame, Short]:
    """The rows of `draw_cells`, and the groups with too few cells."""
    _check_choice("protocol", protocol, PROTOCOLS)
    _check_choice("task", task, tuple(TASK_QUADRANTS))
    _check_choice("too_few", too_few, ("take_all", "error"))
    missing = [name for name in [*CELL_KEYS, COMPOUND, "split"] if name not in cells]
    if missing:
        raise DataError(f"cells to sample have no column {', '.join(missing)}; label them with the split first")
    wanted = cells[COMPOUND].isin(list(controls)) if task == "control" else cells["split"].isin(HELDOUT_SPLITS)
    chosen = cells.loc[wanted, [*CELL_KEYS, COMPOUND, "split"]]
    if chosen.duplicated(CELL_KEYS).any():
        row = chosen[chosen.duplicated(CELL_KEYS)].iloc[0]
        raise DataError(
            f"plate {row[PLATE]}, well {row[WELL]}, site {row[SITE]}: nucleus {row[NUCLEUS]} occurs twice; "
            "write the nuclei of this plate again"
        )
    if protocol != "release":
        chosen = chosen[chosen["split"] != "unused"]
    chosen = chosen.sort_values(CELL_KEYS if sort else PLATE, kind="stable", ignore_index=True)
    draw = _draw_release if protocol == "release" else _draw_wells
    positions, short = draw(chosen, task, n, seed)
    if short and too_few == "error":
        where, count = min(short.items(), key=lambda item: item[1])
        raise DataError(
            f"{where}: has {count} cells but {n} are to be drawn ({task}; {len(short)} such groups); "
            f"lower sample.{task}_cells or set sample.too_few: take_all"
        )
    drawn = chosen.iloc[positions]
    if not include_unused:
        drawn = drawn[drawn["split"] != "unused"]
    drawn = drawn.assign(protocol=protocol, task=task, order=np.arange(len(drawn), dtype=np.int32))
    return drawn.astype({NUCLEUS: np.int32})[COLUMNS].reset_index(drop=True), short


def label_cells(nuclei: pd.DataFrame, wells: pd.DataFrame) -> pd.DataFrame:
    """Kept nuclei of evaluation plates with compound and split, in the given order.

    `nuclei` has CELL_KEYS and `kept` (rows of nuclei/{plate}.parquet); `wells` is split/wells.parquet. Plates used
    only for training are left out: the probes use evaluation plates only (section 3.2).
    """
    plates = evaluation_plates(wells)
    kept = nuclei.loc[nuclei["kept"] & nuclei[PLATE].isin(plates), CELL_KEYS]
    labels = wells.loc[wells[PLATE].isin(plates), [PLATE, WELL, COMPOUND, "split"]]
    return kept.merge(labels, on=[PLATE, WELL], how="inner", validate="many_to_one")


def draw_sample(
    nuclei: Iterable[pd.DataFrame | str | Path],
    wells: pd.DataFrame,
    options: SampleOptions,
    controls: Sequence[str] = CONTROLS,
    negatives: Sequence[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table sample/cells.parquet for every protocol and task of `options`, and a table of the cells saved.

    negatives: which of the controls are negative, by default the first; `options.control_classes` determines
    their role in the control task.

    `nuclei` are tables of whole plates, or their paths, in any order; only one is in memory at a time. The second
    table has one row per protocol and task, and one (protocol and task "all") for their union: wells, cells drawn,
    cells_available (kept cells of wells with a role on evaluation plates), saved (share that need not be embedded).
    Cells of negative-control wells without a role (`split.reference_wells`) come last in the first table, as protocol
    and task `reference`: they are embedded but never probed.
    """
    pairs = [(protocol, task) for protocol in options.protocols for task in TASK_QUADRANTS]
    drawn: dict[tuple[str, str], list[pd.DataFrame]] = {pair: [] for pair in pairs}
    reference: list[pd.DataFrame] = []
    short: dict[str, Short] = {task: {} for task in (*TASK_QUADRANTS, REFERENCE)}
    available = 0
    negatives = negatives or list(controls)[:1]
    seen: set[str] = set()
    populated: set[tuple[str, str]] = set()
    for item in nuclei:
        table = item if isinstance(item, pd.DataFrame) else read_table(item, [*CELL_KEYS, "kept"])
        cells = label_cells(table, wells)
        plates = set(cells[PLATE])
        if plates & seen:
            raise DataError(f"plate {min(plates & seen)}: its nuclei come twice; give each plate once")
        seen |= plates
        populated |= set(cells[[PLATE, WELL]].drop_duplicates().itertuples(index=False, name=None))
        available += int((cells["split"] != "unused").sum())
        beside, few = _draw_reference(cells, options, negatives)
        reference.append(beside)
        short[REFERENCE] |= few
        for (protocol, task), parts in drawn.items():
            n = options.cells(task)
            drawn_here, few = _draw(cells, protocol, task, n, options.seed, controls, options.too_few)
            parts.append(drawn_here)
            short[task] |= few
    tables = [_in_order(parts) for parts in drawn.values()]
    sample = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    if not len(sample):
        raise DataError("no cell of any control or held-out compound was found; check nuclei and split tables")
    _report_empty(populated, wells, controls, options.too_few)
    for task, few in short.items():  # once for all plates and protocols
        _warn_of_short(few, task, options.reference_cells if task == REFERENCE else options.cells(task))
    report = tiles_saved(sample, available)
    used, spared = report["cells"].iloc[-1], 100 * report["saved"].iloc[-1]
    log.info("sampling: %d of %d cells are used (%.1f %% need not be embedded)", used, available, spared)
    beside = _in_order(reference)
    every = pd.concat([sample, beside], ignore_index=True) if len(beside) else sample
    return name_classes(every, options.control_classes, negatives), report


def name_classes(sample: pd.DataFrame, classes: str, negatives: Sequence[str]) -> pd.DataFrame:
    """The sample with the classes of the control task: its compound column, or rows moved to the reference.

    every: each control is a class, including each of several negative ones, with a warning. merged: cells of all
    negative controls take the name of the first. positive: negative controls are not a class and only normalise plates.
    """
    negative = (sample["task"] == "control") & sample[COMPOUND].isin(list(negatives))
    if classes == "merged":
        sample = sample.assign(**{COMPOUND: sample[COMPOUND].where(~negative, negatives[0])})
    elif classes == "positive":
        moved = sample[negative].assign(protocol=REFERENCE, task=REFERENCE)
        sample = pd.concat([sample[~negative], moved], ignore_index=True)
    elif len(set(sample.loc[negative, COMPOUND])) > 1:
        log.warning(
            "the control task tells the negative controls %s apart as classes of their own; set sample.control_classes "
            "to merged (one class) or positive (none) if that is not meant",
            " and ".join(negatives),
        )
    names = sorted(sample.loc[sample["task"] == "control", COMPOUND].unique())
    log.info("classes of the control task: %s", ", ".join(names))
    return sample


def _draw_reference(
    cells: pd.DataFrame, options: SampleOptions, negatives: Sequence[str]
) -> tuple[pd.DataFrame, Short]:
    """Cells of a plate's reference wells, negative-control wells without a role; and those with too few."""
    chosen = cells[(cells["split"] == "unused") & cells[COMPOUND].isin(list(negatives))]
    chosen = chosen.sort_values(CELL_KEYS, ignore_index=True)
    positions, short = _draw_wells(chosen, REFERENCE, options.reference_cells, options.seed)
    rows = chosen.iloc[positions]
    rows = rows.assign(protocol=REFERENCE, task=REFERENCE, order=np.arange(len(rows), dtype=np.int32))
    return rows.astype({NUCLEUS: np.int32})[COLUMNS].reset_index(drop=True), short


def tiles_saved(sample: pd.DataFrame, available: int) -> pd.DataFrame:
    """Number of cells to embed per protocol and task and in total, compared with all `available` cells.

    Columns: protocol, task, wells, cells, cells_available, saved (1 - cells / cells_available). A cell drawn by several
    protocols is embedded once; the last row (protocol and task "all") counts it once.
    """
    groups = [(protocol, task, rows) for (protocol, task), rows in sample.groupby(["protocol", "task"], sort=False)]
    groups.append(("all", "all", sample.drop_duplicates(CELL_KEYS)))
    rows = [
        {
            "protocol": protocol,
            "task": task,
            "wells": len(cells.drop_duplicates([PLATE, WELL])),
            "cells": len(cells),
            "cells_available": available,
            "saved": 1 - len(cells) / available if available else 0.0,
        }
        for protocol, task, cells in groups
    ]
    return pd.DataFrame(rows)


def _report_empty(populated: set[tuple[str, str]], wells: pd.DataFrame, controls: Sequence[str], too_few: str) -> None:
    """Warn about wells of a task without a kept nucleus, or raise DataError; no draw would notice them."""
    role = wells[wells[PLATE].isin(evaluation_plates(wells)) & (wells["split"] != "unused")]
    role = role[role[COMPOUND].isin(list(controls)) | role["split"].isin(HELDOUT_SPLITS)]
    empty = [key for key in zip(role[PLATE], role[WELL], strict=True) if key not in populated]
    if not empty:
        return
    where = f"plate {empty[0][0]}, well {empty[0][1]}"
    if too_few == "error":
        raise DataError(
            f"{where}: has no kept nucleus to draw ({len(empty)} such wells); look at its images and quality table, or "
            "set sample.too_few: take_all"
        )
    log.warning("%d wells of the probes have no kept nucleus, the first: %s", len(empty), where)


def _in_order(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The draws of all plates as one: plates sorted, `order` numbered consecutively."""
    filled = sorted((part for part in parts if len(part)), key=lambda part: part[PLATE].iloc[0])
    if not filled:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(filled, ignore_index=True)
    return table.assign(order=np.arange(len(table), dtype=np.int32))


def _draw_release(chosen: pd.DataFrame, task: str, n: int, seed: int) -> tuple[NDArray[np.int64], Short]:
    """Positions drawn as the released sampler does, plate by plate; groups follow the order of its labels."""
    group: list[tuple[str, ...]]
    if task == "control":
        group = list(zip(chosen[COMPOUND], chosen["split"].map(RELEASE_LABELS), strict=True))
    else:
        group = [(_release_well(well),) for well in chosen[WELL]]
    wells = chosen[WELL].to_numpy()
    positions: list[NDArray[np.int64]] = []
    short: Short = {}
    plates: dict[Any, Any] = dict(chosen.groupby(PLATE).indices)
    for plate, rows in sorted(plates.items()):
        generator = np.random.RandomState(seed)
        members: dict[tuple[str, ...], list[int]] = {}
        for row in rows:
            members.setdefault(group[row], []).append(row)
        for name in sorted(members):
            own = np.asarray(members[name])
            if len(own) < n and name[-1] != RELEASE_LABELS["unused"]:
                place = " ".join(name) if task == "control" else f"well {wells[own[0]]}"
                short[f"plate {plate}, {place}"] = len(own)
            positions.append(own[generator.permutation(len(own))[:n]])
    return np.concatenate(positions) if positions else np.empty(0, dtype=int), short


def draw_wells(nuclei: pd.DataFrame, wells: pd.DataFrame, n: int, seed: int = 100) -> pd.DataFrame:
    """Keys of `n` kept cells of each listed well, all where there are fewer (with a warning); for a transfer screen.

    nuclei: rows of nuclei/{plate}.parquet; wells: a table with Metadata_Plate and Metadata_Well. The draw of a well
    does not depend on which other wells are present. Raises DataError when no listed well has a kept nucleus.
    """
    listed = wells[WELL_KEYS].drop_duplicates()
    kept = nuclei.loc[nuclei["kept"], CELL_KEYS].merge(listed, on=WELL_KEYS)
    if kept.empty:
        raise DataError("no kept nucleus in any well of the sheet; check its plates and wells, and the nuclei tables")
    kept = kept.sort_values(CELL_KEYS, ignore_index=True)
    positions, short = _draw_wells(kept, "transfer", n, seed)
    _warn_of_short(short, "transfer", n)
    return kept.iloc[positions].reset_index(drop=True)


def _draw_wells(chosen: pd.DataFrame, task: str, n: int, seed: int) -> tuple[NDArray[np.int64], Short]:
    """Positions of n cells of each well, wells sorted by plate and name, each from its own generator."""
    positions: list[NDArray[np.int64]] = []
    short: Short = {}
    groups: dict[Any, Any] = dict(chosen.groupby([PLATE, WELL]).indices)
    for (plate, well), rows in sorted(groups.items()):
        # Not core's generator: another recipe would draw other cells for every screen that was sampled before.
        digest = hashlib.sha256(f"{seed}/{task}/{plate}/{well}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "little"))
        if len(rows) < n:
            short[f"plate {plate}, well {well}"] = len(rows)
        positions.append(rows[generator.permutation(len(rows))[:n]])
    return np.concatenate(positions) if positions else np.empty(0, dtype=int), short


def _warn_of_short(short: Short, task: str, n: int) -> None:
    if short:
        where, count = min(short.items(), key=lambda item: item[1])
        log.warning(
            "%s: %d groups have fewer than %d cells, all taken; fewest: %s with %d", task, len(short), n, where, count
        )


def _release_well(well: str) -> str:
    """A01 as the released code writes it, "1,1": its wells are ordered by that text."""
    row, column = well_position(well)
    return f"{row + 1},{column + 1}"


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"sample: unknown {name} {value!r}; use {', '.join(allowed)}")
