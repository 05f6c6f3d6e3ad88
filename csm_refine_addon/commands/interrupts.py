"""Signal handling of commands: SIGINT, SIGTERM (render farms) and SIGHUP (a closed terminal) interrupt a command."""

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
    """Raise KeyboardInterrupt in this block for each of SIGNALS; change nothing outside the main thread.

    A Blender without a window installs its own handlers, so Python installs none. A signal that is ignored, as under
    ``nohup``, stays ignored.
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
        for number, handler in before.items():  # Python cannot restore a handler that it did not install
            signal.signal(number, handler or signal.SIG_DFL)


def ignore() -> None:
    """Raise no more KeyboardInterrupt, so that the result of an ended command is written completely."""
    _state["raises"] = False


def pause(seconds: float) -> bool:
    """Wait, and return False. Raises KeyboardInterrupt within a second, also for an earlier signal.

    Python drops an exception that is raised while it deletes an object, and a signal may arrive at that moment. The
    flag keeps the signal, so the traceback of the dropped exception is not shown.
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
