"""Faults by name, and a proxy that makes them happen in front of a refine service and of its mesh files."""

from __future__ import annotations

from .proxy import FaultProxy
from .schedule import FaultFileError, Plan, Rule, read_plan
from .table import FAULTS, Stage

__all__ = ["FAULTS", "FaultFileError", "FaultProxy", "Plan", "Rule", "Stage", "read_plan"]
