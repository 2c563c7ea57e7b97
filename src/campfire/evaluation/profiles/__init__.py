"""Profile analysis: normalisation by controls, nearest neighbours, replicate retrieval, variance shares."""

from campfire.evaluation.profiles.normalise import normalise, well_means
from campfire.evaluation.profiles.options import REPRESENTATIONS, ProfileOptions
from campfire.evaluation.profiles.retrieval import knn_predict, logistic_predict, replicate_retrieval
from campfire.evaluation.profiles.summary import SUMMARY_COLUMNS, profile_summary
from campfire.evaluation.profiles.variance import variance_shares

__all__ = [
    "REPRESENTATIONS",
    "SUMMARY_COLUMNS",
    "ProfileOptions",
    "knn_predict",
    "logistic_predict",
    "normalise",
    "profile_summary",
    "replicate_retrieval",
    "variance_shares",
    "well_means",
]
