"""The open file: what names it in the journal, saved or not, and which jobs were asked for from it."""

from __future__ import annotations

import os

import bpy

from ...core.models import Job


class _Open:
    def __init__(self) -> None:
        self.window = os.urandom(8).hex()


_open = _Open()


def window() -> str:
    """Return what names this process and its open file: results asked for from here are placed here."""
    return _open.window


def forget() -> None:
    """Another file is open: nothing was asked for from it yet."""
    _open.__init__()  # type: ignore[misc]


def asked_for(job: Job) -> bool:
    """Tell whether a job was asked for from the open file: in this window, or where it is saved."""
    return job.window == _open.window or bool(job.blend_file and job.blend_file == bpy.data.filepath)
