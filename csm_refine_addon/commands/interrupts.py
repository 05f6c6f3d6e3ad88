"""Ctrl-C, and the signals with which a farm or a closed terminal ends a program, interrupt a command."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
LOOK_EVERY_S = 1.0
_state = {"received": False, "raises": True}


@contextmanager
def handled() -> Iterator[None]:
    """Raise KeyboardInterrupt in this block for each of these signals; in another than the main thread, change nothing.

    A Blender without a window has handlers of its own, so Python installs none. A signal that is ignored, as ``nohup``
    has it, stays so.
    """
    _state.update(received=False, raises=True)
    is_main = threading.current_thread() is threading.main_thread()
    taken = [number for number in SIGNALS if is_main and signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _receive) for number in taken}
    report = sys.unraisablehook

    def report_others(dropped: sys.UnraisableHookArgs) -> None:
        if not (_state["received"] and issubclass(dropped.exc_type, KeyboardInterrupt)):
            report(dropped)

    sys.unraisablehook = report_others if taken else report
    try:
        yield
    finally:
        sys.unraisablehook = report
        for number, handler in before.items():  # one that is not Python's cannot be put back by it
            signal.signal(number, handler or signal.SIG_DFL)


def ignore() -> None:
    """Raise nothing more: the command has ended, and its result is being written."""
    _state["raises"] = False


def pause(seconds: float) -> bool:
    """Wait, and return False. Raises KeyboardInterrupt, within a second also for a signal that came before.

    Python drops what is raised while it deletes an object, and a signal may arrive just then. Nothing is lost by
    that, so the user sees no traceback of it.
    """
    ends_at = time.monotonic() + seconds
    while not _state["received"] and (left := ends_at - time.monotonic()) > 0:
        time.sleep(min(left, LOOK_EVERY_S))
    if _state["received"]:
        raise KeyboardInterrupt
    return False


def _receive(_signal: int, _frame: FrameType | None) -> None:
    _state["received"] = True
    if _state["raises"]:
        raise KeyboardInterrupt
