"""The operators, all under ``csm_refine.*``: thin, each calls one plain function and reports."""

from __future__ import annotations

from . import again, batch, diagnosing, pivot, results, sending, session_list, setting_up

CLASSES = (
    *sending.CLASSES,
    *results.CLASSES,
    *again.CLASSES,
    *batch.CLASSES,
    *setting_up.CLASSES,
    *session_list.CLASSES,
    *pivot.CLASSES,
    *diagnosing.CLASSES,
)
