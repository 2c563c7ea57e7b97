"""The paper's printed values, by table.

Accuracy of linear probes on single cells, mean and standard deviation over 10 training subsets (control compounds)
or 5 folds (held-out compounds). Keys are the quadrants of `campfire.core.columns.QUADRANTS`.
"""

from typing import NamedTuple

from campfire.core.columns import QUADRANTS

CLASSES = {"control": 9, "heldout": 60}
"""Number of compounds in the paper's two tasks (Section 3.2)."""


class Printed(NamedTuple):
    """A value as the paper prints it."""

    text: str
    mean: float
    sd: float


def _row(*texts: str) -> dict[str, Printed]:
    values = [tuple(map(float, text.split(" ± "))) for text in texts]
    printed = [Printed(text, mean, sd) for text, (mean, sd) in zip(texts, values, strict=True)]
    return dict(zip(QUADRANTS, printed, strict=True))


TABLE_3_1 = {
    "DinoViT-S8": _row("0.418 ± 0.006", "0.322 ± 0.007", "0.195 ± 0.006", "0.187 ± 0.003"),
    "DinoViT-L14": _row("0.356 ± 0.012", "0.281 ± 0.009", "0.158 ± 0.009", "0.152 ± 0.002"),
    "Campfire": _row("0.460 ± 0.016", "0.375 ± 0.007", "0.229 ± 0.008", "0.220 ± 0.002"),
}
"""Table 3.1: model -> quadrant -> value; channels Nu, Ac, M."""

TABLE_3_2 = {
    ("Campfire", "ID"): TABLE_3_1["Campfire"],
    ("DinoViT-S8", "ID"): TABLE_3_1["DinoViT-S8"],
    ("Campfire", "OOD"): _row("0.44 ± 0.01", "0.353 ± 0.07", "0.206 ± 0.009", "0.199 ± 0.003"),
    ("DinoViT-S8", "OOD"): _row("0.457 ± 0.009", "0.356 ± 0.009", "0.204 ± 0.003", "0.191 ± 0.001"),
}
"""Table 3.2: (model, channel set) -> quadrant -> value; ID is Nu, Ac, M, OOD is Nu, ER, cyRNA."""
