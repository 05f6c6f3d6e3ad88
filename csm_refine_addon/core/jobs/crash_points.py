"""Places with a name where a test halts this process, to end it or another one in that very moment.

Nothing happens unless ``CSM_REFINE_CRASH_AT`` names the place, and nothing on systems without SIGSTOP.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

VARIABLE = "CSM_REFINE_CRASH_AT"
_wanted = os.environ.get(VARIABLE, "")


def passing(state: str, following: str, moment: str) -> None:
    """Halt here, once, if this is the place: ``FROM>TO before`` the commit that writes a transition, or ``after`` it.

    A new job has no state to come from. A change within a state passes ``RUNNING>RUNNING``.
    """
    global _wanted  # noqa: PLW0603 -- once in a process
    if _wanted and _wanted == f"{state}>{following} {moment}" and sys.platform != "win32":
        _wanted = ""
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread at once, the others with it
