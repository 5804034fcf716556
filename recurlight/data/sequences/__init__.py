"""Tasks that no pattern shortens: their answer takes steps of work, and their sizes are flags."""

from recurlight.data.sequences.addition import AdditionData
from recurlight.data.sequences.base import Questions, SequenceData
from recurlight.data.sequences.groups import PermutationData
from recurlight.data.sequences.lists import ParityData, ReversalData, SortingData
from recurlight.data.sequences.queens import QueensData

__all__ = [
    "AdditionData",
    "ParityData",
    "PermutationData",
    "QueensData",
    "Questions",
    "ReversalData",
    "SequenceData",
    "SortingData",
]
