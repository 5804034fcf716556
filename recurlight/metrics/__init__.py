"""Figures: integer counters that are summed over ranks and divided at the end."""

from recurlight.metrics.by_group import ExactByGroup
from recurlight.metrics.counters import ExactBySegments, ReasoningMetrics, format_table, table_points
from recurlight.metrics.task import TaskMetric

__all__ = [
    "ExactByGroup",
    "ExactBySegments",
    "ReasoningMetrics",
    "TaskMetric",
    "format_table",
    "table_points",
]
