"""The sidebar's panels, in the order of the work; they draw from memory and do nothing else."""

from __future__ import annotations

from . import jobs, local, lookup, results, session

CLASSES = (*session.CLASSES, *local.CLASSES, *lookup.CLASSES, *results.CLASSES, *jobs.CLASSES)
