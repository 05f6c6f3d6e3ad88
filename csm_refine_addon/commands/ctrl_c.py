"""Ctrl-C ends a command, wherever it hits."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

LOOK_EVERY_S = 1.0
_state = {"pressed": False}


@contextmanager
def heard() -> Iterator[None]:
    """Raise KeyboardInterrupt in this block where Ctrl-C is pressed; on another than the main thread, change nothing.

    A Blender without a window has a handler of its own, so Python installs none. ``nohup`` and its kin have the signal
    ignored; it stays so.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN
    )
    _state["pressed"] = False
    if not is_ours:
        yield
        return
    before, tell = signal.signal(signal.SIGINT, _press), sys.unraisablehook

    def tell_others(dropped: sys.UnraisableHookArgs) -> None:
        if not (_state["pressed"] and issubclass(dropped.exc_type, KeyboardInterrupt)):
            tell(dropped)

    sys.unraisablehook = tell_others
    try:
        yield
    finally:
        sys.unraisablehook = tell
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)  # one that is not Python's cannot be put back by it


def pause(seconds: float) -> bool:
    """Wait, and return False. Raises KeyboardInterrupt, within a second also for a Ctrl-C before that nobody noticed.

    Python drops what is raised while it tidies an object away, and a signal may arrive just then. Nothing is lost by
    that, so the user sees no traceback of it.
    """
    ends_at = time.monotonic() + seconds
    while not _state["pressed"] and (left := ends_at - time.monotonic()) > 0:
        time.sleep(min(left, LOOK_EVERY_S))
    if _state["pressed"]:
        raise KeyboardInterrupt
    return False


def _press(_signal: int, _frame: FrameType | None) -> NoReturn:
    _state["pressed"] = True
    raise KeyboardInterrupt
