"""Figure 2.1 from the real assignment: a map of compounds by TARGET2 plates, coloured by the part of the split.

The paper sketches it for one compound; here every compound and plate of the split is drawn.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from campfire.core.columns import COMPOUND, PLATE, PLATE_TYPE, SPLITS
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.report.figures.style import GREY, INK, PAGE, SPLIT_COLOURS, Drawn, new_figure, styled
from campfire.report.tables.inputs import Files, Settings
from campfire.screen.leave_out import drop

NAMES = {
    "train": "Train",
    "val": "Validation",
    "test": "Test: ID compound, ID plate",
    "test_ood_plate": "Test: ID compound, OOD plate",
    "test_ood_compound": "Test: OOD compound, ID plate",
    "test_ood_both": "Test: OOD compound, OOD plate",
    "unused": "Not used",
}
_OOD_PLATE = {"test_ood_plate", "test_ood_both"}
_OOD_COMPOUND = {"test_ood_compound", "test_ood_both"}


def prepare(wells: pd.DataFrame, controls: Collection[str] = (), plate_type: str = "TARGET2") -> pd.DataFrame:
    """One row per compound and plate of `plate_type`, in drawing order.

    wells: split/wells.parquet. controls: the compounds of the control task. A compound with several wells on a plate
    shows the well that was assigned; `wells` counts those with that label. Columns: Metadata_JCP2022, Metadata_Plate,
    split, wells, compound_group (control, in-distribution, held-out), plate_group (ID, OOD).
    Raises DataError when there is no plate of that type.
    """
    chosen = wells[wells[PLATE_TYPE] == plate_type].dropna(subset=[COMPOUND])
    if chosen.empty:
        raise DataError(f"split/wells.parquet: no wells on {plate_type} plates; check Metadata_PlateType in the sheet")
    counts = chosen.groupby([COMPOUND, PLATE, "split"], observed=True).size().rename("wells").reset_index()
    # `unused` is a surplus well of a compound with another, assigned well on the plate.
    counts["surplus"] = counts["split"] == "unused"
    counts = counts.sort_values([COMPOUND, PLATE, "surplus", "split"]).drop_duplicates([COMPOUND, PLATE])
    held_out = set(counts.loc[counts["split"].isin(_OOD_COMPOUND), COMPOUND])
    ood_plates = set(counts.loc[counts["split"].isin(_OOD_PLATE), PLATE])
    controls = set(controls)
    group = counts[COMPOUND].map(
        lambda compound: (
            "held-out" if compound in held_out else "control" if compound in controls else "in-distribution"
        )
    )
    counts["compound_group"] = pd.Categorical(group, ["control", "in-distribution", "held-out"], ordered=True)
    counts["plate_group"] = pd.Categorical(
        np.where(counts[PLATE].isin(list(ood_plates)), "OOD", "ID"), ["ID", "OOD"], ordered=True
    )
    counts = counts.sort_values(["plate_group", PLATE, "compound_group", COMPOUND]).reset_index(drop=True)
    return counts[[COMPOUND, PLATE, "split", "wells", "compound_group", "plate_group"]].astype(
        {"compound_group": str, "plate_group": str}
    )


def _brackets(axes: Axes, groups: list[str], labels: dict[str, str]) -> None:
    """A line and a label above the map for each run of equal groups, with the number of its members."""
    transform = axes.get_xaxis_transform()
    start = 0
    for stop in range(1, len(groups) + 1):
        if stop < len(groups) and groups[stop] == groups[start]:
            continue
        gap = min(0.2, 0.1 * (stop - start)) if len(groups) <= 40 else 1.0
        axes.plot(
            [start - 0.5 + gap, stop - 0.5 - gap], [1.02] * 2, transform=transform, color=INK, lw=0.8, clip_on=False
        )
        text = f"{stop - start} {labels[groups[start]]}{'s' if stop - start > 1 else ''}"
        axes.text((start + stop - 1) / 2, 1.04, text, transform=transform, ha="center", va="bottom", clip_on=False)
        start = stop


@styled
def draw(data: pd.DataFrame) -> Figure:
    """The map of `prepare`: plates in rows, compounds in columns; white where the plate lacks the compound."""
    plates, compounds = list(dict.fromkeys(data[PLATE])), list(dict.fromkeys(data[COMPOUND]))
    compound_group = data.drop_duplicates(COMPOUND).set_index(COMPOUND)["compound_group"]
    plate_group = data.drop_duplicates(PLATE).set_index(PLATE)["plate_group"]
    rank = {"control": 0, "in-distribution": 1, "held-out": 2}
    compounds.sort(key=lambda compound: (rank[compound_group[compound]], compound))
    grid = np.full((len(plates), len(compounds)), np.nan)
    rows = data[PLATE].map({name: i for i, name in enumerate(plates)})
    columns = data[COMPOUND].map({name: i for i, name in enumerate(compounds)})
    grid[rows, columns] = data["split"].map({name: i for i, name in enumerate(SPLITS)})

    few = len(compounds) <= 40
    height = min(max(0.105 * len(plates), 0.9), 4.5)
    figure = new_figure(PAGE, height + (1.75 if few else 1.1))
    axes = figure.add_subplot()
    colours = ListedColormap([SPLIT_COLOURS[name] for name in SPLITS], "split")
    edges = np.arange(len(compounds) + 1) - 0.5, np.arange(len(plates) + 1) - 0.5
    axes.pcolormesh(
        *edges, np.ma.masked_invalid(grid), cmap=colours, norm=BoundaryNorm(np.arange(-0.5, len(SPLITS)), len(SPLITS)),
        edgecolors="white" if few else "face", linewidth=1.0 if few else 0.05,
    )  # fmt: skip
    if not few:  # cells are about a point wide: only plates are separated
        for boundary in range(1, len(plates)):
            axes.axhline(boundary - 0.5, color="white", lw=0.5)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(range(len(plates)), plates, fontsize=6 if len(plates) < 15 else 4.6, color=GREY)
    if few:
        labels = compounds
        if "compound_label" in data:
            found = data.drop_duplicates(COMPOUND).set_index(COMPOUND)["compound_label"]
            labels = [str(found[name]) for name in compounds]
        axes.set_xticks(range(len(compounds)), labels, rotation=90, fontsize=6, color=GREY)
    else:
        axes.set_xticks([])
    names = {"control": "control", "in-distribution": "further ID compound", "held-out": "OOD compound"}
    _brackets(axes, [str(compound_group[name]) for name in compounds], names)
    for boundary in np.flatnonzero(np.diff([plate_group[name] == "OOD" for name in plates])):
        axes.axhline(boundary + 0.5, color=INK, lw=0.8)
    kinds = [str(plate_group[name]) for name in plates]
    for kind in dict.fromkeys(kinds):
        where = [i for i, other in enumerate(kinds) if other == kind]
        text = f"{len(where)} {kind}\nplate{'s' if len(where) > 1 else ''}"
        middle = float(np.mean(where))
        axes.text(1.008, middle, text, transform=axes.get_yaxis_transform(), ha="left", va="center")
    totals = data.groupby("split")["wells"].sum()
    shown = [name for name in SPLITS if name in totals.index]
    handles = [Patch(facecolor=SPLIT_COLOURS[name], label=f"{NAMES[name]} ({totals[name]:,} wells)") for name in shown]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, handlelength=1, handleheight=1, columnspacing=1.5
    )
    return figure


def make(files: Files, settings: Settings) -> Drawn:
    """The figure from split/wells.parquet."""
    data = prepare(drop(read_table(files["wells"][0]), settings.leave_out), settings.controls, settings.plate_type)
    data["compound_label"] = data[COMPOUND].map(settings.options.compound_name)
    return Drawn(draw(data), data)
