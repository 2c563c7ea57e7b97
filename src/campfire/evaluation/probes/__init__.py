"""Linear probes of single-cell embeddings: the paper's four compound-by-plate evaluations under three protocols."""

from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.probes.leaks import LEAKS, leak_table
from campfire.evaluation.probes.linear import LinearFits, fit_linear, predict
from campfire.evaluation.probes.metrics import classification_scores, confusion
from campfire.evaluation.probes.options import PROTOCOLS, ProbeOptions, Protocol, variant_name
from campfire.evaluation.probes.place import place_table
from campfire.evaluation.probes.trainer import Fit

__all__ = [
    "LEAKS",
    "PROTOCOLS",
    "Fit",
    "LinearFits",
    "ProbeOptions",
    "Protocol",
    "classification_scores",
    "confusion",
    "evaluate",
    "fit_linear",
    "leak_table",
    "place_table",
    "predict",
    "variant_name",
]
