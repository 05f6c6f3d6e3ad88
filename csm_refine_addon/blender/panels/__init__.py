"""The sidebar's panels, in the order of the work; they draw from memory and do nothing else."""

from __future__ import annotations

from . import jobs, lookup, results, session

CLASSES = (*session.CLASSES, *lookup.CLASSES, *results.CLASSES, *jobs.CLASSES)
