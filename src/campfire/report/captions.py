"""What stands under a figure on the page of findings: what is drawn, protocol, n and interval, from its own csv."""

from collections.abc import Callable, Mapping

import pandas as pd

from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import number

DRAWN = {
    "figure_2_1": "Every compound (column) on every evaluation plate (row), coloured by where the split put its well. "
    "Blue: compounds seen in training; orange: held-out ones; below the line: plates of which no well is trained on.",
    "figure_3_3": "A tile of a validation well in each row: masked input, reconstructions as training went on with "
    "their mean squared error on masked pixels below (patches that were seen are shown as they are), and the target. "
    "Masks are the same at every epoch.",
    "training_curves": "Loss on training tiles (solid) and validation wells (dashed), learning rate, speed.",
    "ood_gap": "Accuracy on ID plates (circles) and OOD plates (diamonds) with the same classifiers; right: the gap "
    "with its interval for other plates (with a star, where there are fewer than three, for other wells of these).",
    "figure_3_4": "Accuracy by the channels that the embedding is made from; the dashed line is chance.",
    "claims": "First minus second on identical cells; the diamond is the mean of the quadrants. Bars are intervals "
    "for other plates (Student's t over plates); dotted ones, of fewer than three plates, for other wells of these "
    "plates. Bold: told apart over plates after adjustment for the number of comparisons (Holm).",
    "beyond": "Left: replicates retrieved across plates, 0 is chance and 1 perfect. Right: shares of the variance of "
    "well means; what is not coloured is left to wells.",
    "figure_3_5": "Z′ between groups of control wells on held-out plates: from 0.5 an assay counts as excellent, at 0 "
    "the 3-SD bands of both groups touch, below they overlap; the scale ends at −1, numbers go on. In brackets, of "
    "fewer than three wells: no verdict.",
    "confusion": "Share of the cells of each compound (row) that the probes call each compound (column).",
}

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


def caption(name: str, data: pd.DataFrame, options: TableOptions) -> str:
    """The caption of a figure; data: its csv."""
    parts = [DRAWN[name]]
    if "protocol" in data:
        parts.append(f"Protocol {', '.join(dict.fromkeys(data['protocol'].astype(str)))}.")
    counts = [f"{_range(data[column])} {noun}" for column, noun in COUNTS.items() if column in data]
    if name == "figure_2_1":
        counts = [f"{int(data['wells'].sum()):,} wells"]
    if name == "confusion":
        counts = [f"{int(data['cells'].sum()):,} predictions"]
    if name == "figure_3_3":
        counts = [f"{data['tile'].nunique()} tiles"]
    if name == "training_curves":
        counts = [f"{int(data['epoch'].max())} epochs"]
    if counts:
        parts.append(f"n: {', '.join(counts)}.")
    if {"low", "high"} <= set(data.columns) and name not in ("figure_3_5", "claims"):  # maps show none
        parts.append(f"Intervals: {100 * options.level:g} %, bootstrap over wells.")
    return " ".join(parts)


def _curves(data: pd.DataFrame) -> str:
    parts = []
    for run, rows in data[data["quantity"] == "loss"].groupby("run", sort=False):
        split = "val" if (rows["split"] == "val").any() else "train"
        line = rows[rows["split"] == split].sort_values("epoch")
        first, last = line.iloc[0], line.iloc[-1]
        wells = "validation wells" if split == "val" else "training tiles"
        parts.append(
            f"The loss of run {run} on {wells} went from {number(first['value'])} (epoch {int(first['epoch'])}) to "
            f"{number(last['value'])} (epoch {int(last['epoch'])})"
        )
    return "; ".join(parts) + "."


ANSWERS: Mapping[str, Callable[[pd.DataFrame], str]] = {"training_curves": _curves}
"""Figures that no table answers for: the finding in a sentence, from the csv."""
