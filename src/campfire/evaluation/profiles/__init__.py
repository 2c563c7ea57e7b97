"""Profile analysis: normalisation by controls, nearest neighbours, replicate retrieval, variance shares."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.evaluation.profiles.options import REPRESENTATIONS, ProfileOptions

if TYPE_CHECKING:
    from campfire.evaluation.profiles.graded import graded_retrieval, layout_leak
    from campfire.evaluation.profiles.retrieval import knn_predict, logistic_predict, replicate_retrieval
    from campfire.evaluation.profiles.summary import SUMMARY_COLUMNS, profile_summary
    from campfire.evaluation.profiles.variance import variance_shares

__all__ = [
    "REPRESENTATIONS",
    "SUMMARY_COLUMNS",
    "ProfileOptions",
    "graded_retrieval",
    "knn_predict",
    "layout_leak",
    "logistic_predict",
    "profile_summary",
    "replicate_retrieval",
    "variance_shares",
]

__getattr__ = lazy(
    __name__,
    {
        "graded": ["graded_retrieval", "layout_leak"],
        "retrieval": ["knn_predict", "logistic_predict", "replicate_retrieval"],
        "summary": ["SUMMARY_COLUMNS", "profile_summary"],
        "variance": ["variance_shares"],
    },
)
