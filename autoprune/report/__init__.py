"""Results for people: tables that fit 80 columns.

Each function returns something rich can print; nothing here prints or reads files.
"""

from autoprune.report.doctor import doctor_view
from autoprune.report.export import export_view
from autoprune.report.inspect import inspect_json, inspect_view
from autoprune.report.parts import count, size
from autoprune.report.policy import policy_view
from autoprune.report.profile import profile_view
from autoprune.report.result import result_view
from autoprune.report.standing import standing_view
from autoprune.report.trained import trained_view

__all__ = [
    "count",
    "doctor_view",
    "export_view",
    "inspect_json",
    "inspect_view",
    "policy_view",
    "profile_view",
    "result_view",
    "size",
    "standing_view",
    "trained_view",
]
