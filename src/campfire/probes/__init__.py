"""Linear probes of single-cell embeddings: the paper's four compound-by-plate evaluations under three protocols."""

from campfire.probes.evaluate import evaluate
from campfire.probes.leaks import LEAKS, leak_table
from campfire.probes.linear import LinearFits, fit_linear, predict
from campfire.probes.metrics import classification_scores, confusion
from campfire.probes.options import PROTOCOLS, ProbeOptions, Protocol
from campfire.probes.place import place_table
from campfire.probes.trainer import Fit

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
]
