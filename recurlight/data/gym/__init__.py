"""The tasks of reasoning gym: questions and answers made by a library of generators, and judged by it."""

from recurlight.data.gym.data import ReasoningGymData
from recurlight.data.gym.measure import AnswerScores

__all__ = ["AnswerScores", "ReasoningGymData"]
