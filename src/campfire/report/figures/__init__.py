"""Figures of the evaluation. Each module has `prepare(...) -> data` and `draw(data) -> Figure`; `save` writes both.

    data = figure_3_4.prepare(accuracies, encoder="campfire", protocol="release")
    save(figure_3_4.draw(data), data, "results/figures/figure_3_4")

`draw` uses only `data`, so the csv of a figure holds exactly what is drawn.
"""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy

if TYPE_CHECKING:
    from campfire.report.figures import (
        claims,
        confusion,
        figure_2_1,
        figure_3_3,
        figure_3_4,
        figure_3_5,
        ood_gap,
        plate_layout,
        profiles,
        training_curves,
    )
    from campfire.report.figures.style import save

__all__ = [
    "claims",
    "confusion",
    "figure_2_1",
    "figure_3_3",
    "figure_3_4",
    "figure_3_5",
    "ood_gap",
    "plate_layout",
    "profiles",
    "save",
    "training_curves",
]

__getattr__ = lazy(__name__, {"style": ["save"]})
