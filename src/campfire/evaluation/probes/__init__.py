"""Linear probes of single-cell embeddings: the paper's four compound-by-plate evaluations under three protocols."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.evaluation.probes.options import PROTOCOLS, ProbeOptions, Protocol, variant_name

if TYPE_CHECKING:
    from campfire.evaluation.probes.leakage import LEAKAGE_EFFECTS, leakage_table
    from campfire.evaluation.probes.linear import LinearFits, fit_linear, predict
    from campfire.evaluation.probes.metrics import classification_scores, confusion
    from campfire.evaluation.probes.trainer import Fit
    from campfire.evaluation.probes.well_position import well_position_table

__all__ = [
    "LEAKAGE_EFFECTS",
    "PROTOCOLS",
    "Fit",
    "LinearFits",
    "ProbeOptions",
    "Protocol",
    "classification_scores",
    "confusion",
    "fit_linear",
    "leakage_table",
    "predict",
    "variant_name",
    "well_position_table",
]

__getattr__ = lazy(
    __name__,
    {
        "leakage": ["LEAKAGE_EFFECTS", "leakage_table"],
        "linear": ["LinearFits", "fit_linear", "predict"],
        "metrics": ["classification_scores", "confusion"],
        "trainer": ["Fit"],
        "well_position": ["well_position_table"],
    },
)
