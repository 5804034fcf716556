"""Figures: integer counters that are summed over ranks and divided at the end."""

from recurlight.metrics.by_group import ExactByGroup
from recurlight.metrics.counters import ReasoningMetrics, table_points
from recurlight.metrics.shares import ExactBySegments, SharesBySegments
from recurlight.metrics.task import TaskMetric

__all__ = [
    "ExactByGroup",
    "ExactBySegments",
    "ReasoningMetrics",
    "SharesBySegments",
    "TaskMetric",
    "table_points",
]
