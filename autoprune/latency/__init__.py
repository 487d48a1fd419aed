"""Latency of plans on this device: measured operations, tables, a cost for budgets."""

from autoprune.latency.alignment import width_steps
from autoprune.latency.model import LatencyModel, Survey, measure_latency
from autoprune.latency.table import TableCost

__all__ = ["LatencyModel", "Survey", "TableCost", "measure_latency", "width_steps"]
