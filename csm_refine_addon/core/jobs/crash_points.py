"""Named crash points at which a test suspends this process, to kill it or another one at that moment.

They do nothing unless ``CSM_REFINE_CRASH_AT`` names one, and nothing on systems without SIGSTOP.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

VARIABLE = "CSM_REFINE_CRASH_AT"
_wanted = os.environ.get(VARIABLE, "")


def passing(state: str, following: str, moment: str) -> None:
    """Suspend the process once if this crash point is selected: ``FROM>TO before`` or ``after`` the commit.

    FROM is empty for a new job. A change within a state is ``RUNNING>RUNNING``.
    """
    global _wanted  # noqa: PLW0603 -- once in a process
    if _wanted and _wanted == f"{state}>{following} {moment}" and sys.platform != "win32":
        _wanted = ""
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread at once, the others with it
