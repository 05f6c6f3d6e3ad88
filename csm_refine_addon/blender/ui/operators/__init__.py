"""The operators, all under ``csm_refine.*``: thin, each calls one plain function and reports."""

from __future__ import annotations

from . import (
    batch_operators,
    cleanup_operators,
    diagnostics_operators,
    pivot_picker,
    resend,
    result_operators,
    session_list,
    setup_operators,
    submit_operators,
)

CLASSES = (
    *submit_operators.CLASSES,
    *result_operators.CLASSES,
    *resend.CLASSES,
    *batch_operators.CLASSES,
    *setup_operators.CLASSES,
    *session_list.CLASSES,
    *pivot_picker.CLASSES,
    *diagnostics_operators.CLASSES,
    *cleanup_operators.CLASSES,
)
