"""The sidebar's panels, in the order of the work; they draw from memory and do nothing else."""

from __future__ import annotations

from . import job_panel, local_panel, lookup_panel, result_panel, session_panel

CLASSES = (
    *session_panel.CLASSES,
    *local_panel.CLASSES,
    *lookup_panel.CLASSES,
    *result_panel.CLASSES,
    *job_panel.CLASSES,
)
