"""The operators, all under ``csm_refine.*``: thin, each calls one plain function and reports."""

from __future__ import annotations

from . import batch, pivot, results, sending, session_list, setting_up

CLASSES = (
    *sending.CLASSES,
    *results.CLASSES,
    *batch.CLASSES,
    *setting_up.CLASSES,
    *session_list.CLASSES,
    *pivot.CLASSES,
)
