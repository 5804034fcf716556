"""Figures: integer counters that are summed over ranks and divided at the end."""

from recurlight.metrics.by_group import ExactByGroup
from recurlight.metrics.counters import NumberMetrics, ReasoningMetrics, table_points
from recurlight.metrics.shares import ErrorBySegments, ExactBySegments, SharesBySegments
from recurlight.metrics.task import TaskMetric

__all__ = [
    "ErrorBySegments",
    "ExactByGroup",
    "ExactBySegments",
    "NumberMetrics",
    "ReasoningMetrics",
    "SharesBySegments",
    "TaskMetric",
    "table_points",
]
