"""The operators, all under ``csm_refine.*``: thin, each calls one plain function and reports."""

from __future__ import annotations

from . import results, sending, setting_up

CLASSES = (*sending.CLASSES, *results.CLASSES, *setting_up.CLASSES)
