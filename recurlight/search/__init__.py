"""Search: more compute on a question than one run of the model, as a policy on any checkpoint."""

from recurlight.search.base import Selector
from recurlight.search.by_answer import LastAnswer, Majority, Verified
from recurlight.search.by_run import BestScore, FirstToHalt, LowestResidual
from recurlight.search.chains import Chains
from recurlight.search.drawing import search_picture
from recurlight.search.found import Found
from recurlight.search.measure import SearchMetric
from recurlight.search.report import SearchReport
from recurlight.search.search import Search

__all__ = [
    "BestScore",
    "Chains",
    "FirstToHalt",
    "Found",
    "LastAnswer",
    "LowestResidual",
    "Majority",
    "Search",
    "SearchMetric",
    "SearchReport",
    "Selector",
    "Verified",
    "search_picture",
]
