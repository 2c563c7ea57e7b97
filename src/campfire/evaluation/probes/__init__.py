"""Linear probes of single-cell embeddings: the paper's four compound-by-plate evaluations under three protocols."""

from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.probes.leakage import LEAKAGE_EFFECTS, leakage_table
from campfire.evaluation.probes.linear import LinearFits, fit_linear, predict
from campfire.evaluation.probes.metrics import classification_scores, confusion
from campfire.evaluation.probes.options import PROTOCOLS, ProbeOptions, Protocol, variant_name
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
    "evaluate",
    "fit_linear",
    "leakage_table",
    "predict",
    "variant_name",
    "well_position_table",
]
