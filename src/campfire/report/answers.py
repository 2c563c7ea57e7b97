"""Sample sizes of a figure from its data, and its finding where no table has one."""

from collections.abc import Callable, Mapping

import pandas as pd

from campfire.report.tables.render import number

COUNTS = {
    "n_fits": "fits",
    "n_wells": "wells",
    "n_wells_id": "wells on ID plates",
    "n_wells_ood": "wells on OOD plates",
    "n_plates": "plates",
    "n_cells": "cells",
    "n_reference": "wells of the reference",
    "n_target": "wells of the target",
}


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def counts(name: str, data: pd.DataFrame) -> str:
    """The sample size of a figure, counted in its csv: wells, cells, tiles or epochs."""
    found = [f"{_range(data[column])} {noun}" for column, noun in COUNTS.items() if column in data]
    if name == "figure_2_1":
        found = [f"{int(data['wells'].sum()):,} wells"]
    if name == "confusion":
        found = [f"{int(data['cells'].sum()):,} predictions"]
    if name == "figure_3_3":
        found = [f"{data['tile'].nunique()} tiles"]
    if name == "training_curves":
        found = [f"{int(data['epoch'].max())} epochs"]
    return f"n: {', '.join(found)}." if found else ""


def _filled_in(data: pd.DataFrame, run: object) -> str:
    """Whether the last epoch's masked errors are below both floors, channel by channel; "" without them."""
    rows = data[(data["run"] == run) & (data["quantity"] == "masked_error")]
    if rows.empty:
        return ""
    own = data[(data["run"] == run) & (data["epoch"] == rows["epoch"].max())]
    values = own[own["channel"].fillna("") != ""].pivot_table("value", "channel", "quantity", sort=False)
    values = values.reindex(list(dict.fromkeys(rows["channel"])))
    filled = values["masked_error"] < values["floor_tile"]
    known = filled & (values["masked_error"] < values["floor_blind"])
    parts = [
        f"{name} {number(row['masked_error'], 2)} (mean tile {number(row['floor_tile'], 2)}, channel-blind "
        f"{number(row['floor_blind'], 2)})"
        for name, row in values.iterrows()
    ]
    return (
        f"Run {run} fills in {int(filled.sum())} of {len(values)} channels better than the channel's mean tile, and "
        f"{int(known.sum())} better than a decoder could that cannot tell channels apart. Error at masked pixels of "
        f"validation wells, 1 being that of the tile's own mean: {'; '.join(parts)}."
    )


def _curves(data: pd.DataFrame) -> str:
    parts = []
    for run, rows in data[data["quantity"] == "loss"].groupby("run", sort=False):
        split = "val" if (rows["split"] == "val").any() else "train"
        line = rows[rows["split"] == split].sort_values("epoch")
        first, last = line.iloc[0], line.iloc[-1]
        wells = "validation wells" if split == "val" else "training tiles"
        parts.append(
            f"Its loss on {wells} went from {number(first['value'])} (epoch {int(first['epoch'])}) to "
            f"{number(last['value'])} (epoch {int(last['epoch'])})."
        )
        parts[-1:] = [_filled_in(data, run) or f"Run {run}.", parts[-1]]
    return " ".join(parts)


ANSWERS: Mapping[str, Callable[[pd.DataFrame], str]] = {"training_curves": _curves}
"""Figures without a table: the function that states the finding in a sentence, from the csv."""
