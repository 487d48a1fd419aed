"""Latency of plans on this device: measured operations, tables, a cost for budgets."""

from autoprune.cost.latency.alignment import finer, portable_steps, width_steps
from autoprune.cost.latency.model import LatencyModel, Survey, measure_latency
from autoprune.cost.latency.table import TableCost

__all__ = [
    "LatencyModel",
    "Survey",
    "TableCost",
    "finer",
    "measure_latency",
    "portable_steps",
    "width_steps",
]
