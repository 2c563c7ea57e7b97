"""Assigning every well of the sheet to train, val, one of the four tests, or no role.

The draws reproduce those of the released code, which uses NumPy's legacy generator; `RandomState` objects with an
explicit seed give the same numbers without touching global state. `choice(a, k, replace=False)` of that generator
is `a[permutation(len(a))[:k]]`.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import BATCH, COMPOUND, PLATE, PLATE_TYPE, SOURCE, SPLITS, WELL, WELL_KEYS
from campfire.core.errors import DataError, SplitError
from campfire.screen.split.options import SplitOptions
from campfire.screen.split.sources import by_source

log = logging.getLogger(__name__)

COLUMNS = [SOURCE, BATCH, PLATE, WELL, COMPOUND, PLATE_TYPE, "split"]


@dataclass(frozen=True)
class Split:
    """The wells with their label (columns of split/wells.parquet) and what to store beside them."""

    wells: pd.DataFrame
    metadata: dict[str, Any]


def assign_wells(sheet: pd.DataFrame, wells: pd.DataFrame, options: SplitOptions) -> pd.DataFrame:
    """`make_split(...)` without the metadata: the table split/wells.parquet, sorted by plate and well."""
    return make_split(sheet, wells, options).wells


def make_split(
    sheet: pd.DataFrame, wells: pd.DataFrame, options: SplitOptions, structures: Mapping[str, str] | None = None
) -> Split:
    """Assign every well of the sheet's plates (paper section 2.1; the release's draws for `protocol: release`).

    `sheet` is `screen.metadata.read_sheet`'s table; `wells` has Metadata_Plate, Metadata_Well and Metadata_JCP2022
    as text; `structures` is `screen.metadata.read_structures`'s, which `exclude_same_structure` goes by. Neither the
    order of the plates nor that of the wells matters. Raises SplitError when plates or compounds do not suffice, naming
    them.
    """
    sheet = by_source(sheet, options)
    table = _join(sheet, wells)
    role = table["role"].to_numpy()
    check_plates(sheet, options)
    on_id, on_ood = (set(table.loc[role == name, COMPOUND]) for name in ("id", "ood"))
    _check_controls(on_id, on_ood, options)
    held_out = _draw_held_out(on_id & on_ood, options)
    labels = np.full(len(table), "unused", dtype=object)
    reasons = np.full(len(table), "", dtype=object)
    short = _assign_id_plates(table, held_out, options, labels, reasons)
    _assign_ood_plates(table, held_out, options, labels, reasons)
    _assign_training_plates(table, held_out, options, labels, reasons)
    if options.setting("exclude_same_structure"):
        _leave_out_structures(table, held_out, options, structures or {}, labels, reasons)
    result = table.assign(split=labels)[COLUMNS].reset_index(drop=True)
    metadata = {
        "protocol": options.protocol,
        "seed": options.seed,
        "options": options.resolved(),
        "held_out_compounds": held_out,
        "controls": list(options.controls),
        "negative_controls": list(options.negatives),
        "ood_plates": sorted(sheet.loc[sheet["role"] == "ood", PLATE]),
        "compounds_short_of_wells": short,
        "wells": _count(result, labels),
        "unused": {
            str(kind): {str(k): int(n) for k, n in pd.Series(reasons[rows]).value_counts().items() if k}
            for kind, rows in result.groupby(PLATE_TYPE).indices.items()
        },
    }
    if short:
        log.warning("%d compounds have fewer wells than requested: %s", len(short), ", ".join(list(short)[:5]))
    return Split(result, metadata)


def _leave_out_structures(
    table: pd.DataFrame,
    held_out: list[str],
    options: SplitOptions,
    structures: Mapping[str, str],
    labels: NDArray[Any],
    reasons: NDArray[Any],
) -> None:
    """Remove the role of compounds with the structure of a held-out one; controls keep theirs."""
    known = {structures[compound] for compound in held_out if compound in structures}
    if held_out and not known:
        log.warning("no structure of a held-out compound is known; compounds are distinguished by id only")
    kin = {compound for compound in set(table[COMPOUND]) - set(held_out) if structures.get(compound) in known}
    if kin & set(options.controls):
        log.warning(
            "control %s has the structure of a held-out compound and keeps its role", min(kin & set(options.controls))
        )
    rows = table[COMPOUND].isin(kin - set(options.controls)).to_numpy()
    labels[rows], reasons[rows] = "unused", "same_structure"


def plates_with_wells(sheet: pd.DataFrame, options: SplitOptions) -> list[str]:
    """The plates of the sheet whose wells the split may use, in its order.

    Excludes training plates that can never contribute a training well: those that share a batch with an OOD plate
    under `exclude_ood_batches`, and all of them if `compound_fraction` is 0.
    """
    left_out = _in_ood_batch(sheet) if options.setting("exclude_ood_batches") else np.zeros(len(sheet), dtype=bool)
    if not options.setting("compound_fraction") > 0:
        left_out = np.ones(len(sheet), dtype=bool)
    return sheet.loc[(sheet["role"] != "train").to_numpy() | ~left_out, PLATE].tolist()


def _in_ood_batch(table: pd.DataFrame) -> NDArray[Any]:
    """Whether each row of a sheet or of its wells belongs to a batch with an OOD plate; (N,) bool."""
    ood = table.loc[table["role"] == "ood", [SOURCE, BATCH]].drop_duplicates()
    return np.asarray(pd.MultiIndex.from_frame(table[[SOURCE, BATCH]]).isin(pd.MultiIndex.from_frame(ood)))


def _count(table: pd.DataFrame, labels: NDArray[Any]) -> dict[str, dict[str, int]]:
    counts = pd.crosstab(table[PLATE_TYPE], labels)
    return {str(kind): {name: int(row[name]) for name in SPLITS if row.get(name, 0)} for kind, row in counts.iterrows()}


def _join(sheet: pd.DataFrame, wells: pd.DataFrame) -> pd.DataFrame:
    """Wells of the sheet's plates with batch, type and role, sorted by plate and well."""
    if wells.duplicated(WELL_KEYS).any():
        row = wells[wells.duplicated(WELL_KEYS)].iloc[0]
        raise DataError(f"plate {row[PLATE]}, well {row[WELL]} occurs twice among the wells; keep one row per well")
    absent = sorted(set(sheet[PLATE]) - set(wells[PLATE]))
    if absent:
        raise SplitError(f"no wells of plate {', '.join(absent[:5])}; correct the sheet or give the full well table")
    columns = sheet[[SOURCE, BATCH, PLATE, PLATE_TYPE, "role"]]
    table = wells[[PLATE, WELL, COMPOUND]].merge(columns, on=PLATE, how="inner", validate="many_to_one")
    return table.sort_values([PLATE, WELL], ignore_index=True)


def check_plates(sheet: pd.DataFrame, options: SplitOptions) -> None:
    """Raise SplitError where the sheet alone shows that its plates do not suffice for the split."""
    roles = sheet["role"].value_counts()
    n_id, n_ood = int(roles.get("id", 0)), int(roles.get("ood", 0))
    if not n_id and not n_ood and options.held_out == 0 and not options.held_out_compounds:
        return  # training plates only
    needed = options.wells_train + options.wells_val + options.min_wells_test
    if n_id < needed:
        raise SplitError(
            f"the sheet has {n_id} plates of role id, but {options.wells_train} train + {options.wells_val} val + "
            f"at least {options.min_wells_test} test wells of a compound come from {needed} different plates; "
            "add plates or lower split.wells_train, wells_val or min_wells_test"
        )
    if not n_ood:
        raise SplitError("the sheet has no plate of role ood; give one or more evaluation plates that role")
    if options.setting("exclude_ood_batches"):
        ood = set(map(tuple, sheet.loc[sheet["role"] == "ood", [SOURCE, BATCH]].to_numpy()))
        for row in sheet[sheet["role"] == "id"].itertuples(index=False):
            if (getattr(row, SOURCE), getattr(row, BATCH)) in ood:
                raise SplitError(
                    f"plate {getattr(row, PLATE)} has role id but its batch {getattr(row, BATCH)} also has an OOD "
                    "plate; give it role ood, take it out of the sheet, or set split.exclude_ood_batches: false"
                )


def _check_controls(on_id: set[str], on_ood: set[str], options: SplitOptions) -> None:
    for control in options.controls if on_id or on_ood else ():
        for role, present in (("id", on_id), ("ood", on_ood)):
            if control not in present:
                raise SplitError(
                    f"control {control} is on no plate of role {role}{_near(control, present)}; correct split.controls "
                    "or the sheet"
                )


def _near(name: str, present: set[str]) -> str:
    """A compound whose name is nearly the same, as a question; "" where there is none.

    Its numbers must be the same: JCP2022_033924 and JCP2022_033925 are two compounds, JCP2022_33924 a slip.
    """
    alike = [known for known in sorted(present) if _numbers(known) == _numbers(name)]
    near = get_close_matches(name, alike, n=1, cutoff=0.8)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _draw_held_out(present: set[str], options: SplitOptions) -> list[str]:
    """The held-out compounds in draw order (release: permutation of the sorted ids without the controls).

    `present` are the compounds on both in-distribution and OOD plates; others would leave a quadrant empty.
    """
    if options.held_out_compounds is not None:
        absent = sorted(set(options.held_out_compounds) - present)
        if absent:
            raise SplitError(
                f"held-out compound {', '.join(absent[:5])} is not on plates of role id and of role ood; "
                "correct split.held_out_compounds"
            )
        return list(options.held_out_compounds)
    candidates = sorted(present - set(options.controls) - {options.untreated})
    if len(candidates) < options.held_out:
        raise SplitError(
            f"{options.held_out} compounds are to be held out but {len(candidates)} besides the controls are on plates "
            "of role id and of role ood; lower split.held_out or add plates"
        )
    order = np.random.RandomState(options.seed).permutation(len(candidates))
    return [candidates[i] for i in order[: options.held_out]]


def _assign_id_plates(
    table: pd.DataFrame, held_out: list[str], options: SplitOptions, labels: NDArray[Any], reasons: NDArray[Any]
) -> dict[str, dict[str, int]]:
    """Label the wells of in-distribution plates; return the compounds that got fewer wells than requested."""
    rows = np.flatnonzero(table["role"].to_numpy() == "id")
    plates, ids = table[PLATE].to_numpy(), table[COMPOUND].to_numpy()
    where: dict[str, dict[str, list[int]]] = {}
    for row in rows:  # sorted by plate and well, so plates and the wells in them come in order
        where.setdefault(ids[row], {}).setdefault(plates[row], []).append(row)
    # The release draws for every id of the evaluation plates, after resetting the same seed.
    walk = sorted(set(ids[table["role"].to_numpy() != "train"]))
    draw = np.random.RandomState(options.seed)
    fixed = _draw_plates(sorted(set(plates[rows])), options, draw) if options.setting("same_training_plates") else None
    held, short = set(held_out), {}
    for compound in walk:
        carriers = where.get(compound, {})
        own = [row for wells in carriers.values() for row in wells]
        if compound in held:
            labels[own] = "test_ood_compound"
            continue
        if compound == options.untreated and options.setting("drop_untreated"):
            reasons[own] = "untreated"
            continue
        part = (
            _draw_plates(list(carriers), options, draw)
            if fixed is None
            else {plate: name for plate, name in fixed.items() if plate in carriers}
        )
        counts = {name: sum(p == name for p in part.values()) for name in ("train", "val", "test")}
        if _too_few(counts, len(carriers), options):
            if options.too_few == "error" or compound in options.controls:
                raise SplitError(
                    f"compound {compound} is on {len(carriers)} plates of role id, which gives "
                    f"{counts['train']} train, {counts['val']} val and {counts['test']} test wells: too few; "
                    "lower split.wells_train, wells_val or min_wells_test, or set split.too_few: unused"
                )
            reasons[own] = "too_few_plates"
            reasons[(ids == compound) & (table["role"].to_numpy() == "ood")] = "too_few_plates"
            continue
        wanted = {"train": options.wells_train, "val": options.wells_val, "test": options.wells_test or 0}
        if any(counts[name] < wanted[name] for name in counts):
            short[compound] = counts
        for plate, wells in carriers.items():
            if plate not in part:
                reasons[wells] = "surplus_plate"
                continue
            chosen = wells[int(draw.permutation(len(wells))[0])] if len(wells) > 1 else wells[0]
            reasons[wells] = "surplus_well"
            labels[chosen], reasons[chosen] = part[plate], ""
    return short


def _draw_plates(plates: list[str], options: SplitOptions, draw: np.random.RandomState) -> dict[str, str]:
    """Assign each sorted plate to a train, val or test well; surplus plates are left out."""
    train = draw.permutation(len(plates))[: options.wells_train]
    rest = np.setdiff1d(np.arange(len(plates)), train)
    val = rest[draw.permutation(len(rest))[: options.wells_val]]
    test = np.setdiff1d(rest, val)
    if options.wells_test is not None and len(test) > options.wells_test:
        test = test[draw.permutation(len(test))[: options.wells_test]]
    named = [(train, "train"), (val, "val"), (test, "test")]
    return {plates[i]: name for positions, name in named for i in positions}


def _too_few(counts: dict[str, int], carriers: int, options: SplitOptions) -> bool:
    if options.setting("same_training_plates"):  # plates are common: a compound may lack one of them
        return (
            not counts["train"] or counts["val"] < min(1, options.wells_val) or counts["test"] < options.min_wells_test
        )
    return carriers < options.wells_train + options.wells_val + options.min_wells_test


def _assign_ood_plates(
    table: pd.DataFrame, held_out: list[str], options: SplitOptions, labels: NDArray[Any], reasons: NDArray[Any]
) -> None:
    """Every well of an OOD plate is a test well."""
    ood = (table["role"] == "ood").to_numpy()
    held = table[COMPOUND].isin(held_out).to_numpy()
    untreated = (table[COMPOUND] == options.untreated).to_numpy() & ood & options.setting("drop_untreated")
    reasons[untreated] = "untreated"
    usable = ood & (reasons == "")
    labels[usable & ~held] = "test_ood_plate"
    labels[usable & held] = "test_ood_both"


def _assign_training_plates(
    table: pd.DataFrame, held_out: list[str], options: SplitOptions, labels: NDArray[Any], reasons: NDArray[Any]
) -> None:
    """One uniform draw per well, over the wells sorted by compound, plate and well, as in the release."""
    training = (table["role"] == "train").to_numpy()
    held = table[COMPOUND].isin(held_out).to_numpy()
    reasons[training & held] = "held_out_compound"
    eligible = np.flatnonzero(training & ~held)
    code = pd.factorize(table[COMPOUND].to_numpy()[eligible], sort=True)[0]
    walk = eligible[np.argsort(code, kind="stable")]  # the table is sorted by plate and well already
    uniform = np.random.RandomState(options.compound_seed).random_sample(len(walk))
    drawn = uniform < options.setting("compound_fraction")
    labels[walk[drawn]] = "train"
    reasons[walk[~drawn]] = "not_drawn"
    if options.setting("drop_untreated"):
        out = training & (table[COMPOUND] == options.untreated).to_numpy()
        labels[out], reasons[out] = "unused", "untreated"
    if options.setting("exclude_ood_batches"):
        shared = _in_ood_batch(table)
        labels[training & shared], reasons[training & shared] = "unused", "ood_batch"
        if training.any() and not (training & ~shared).any():
            log.warning("every training plate shares a batch with an OOD plate, so none is trained on")
