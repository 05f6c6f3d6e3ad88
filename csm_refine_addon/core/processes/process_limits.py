"""Limits of a background Blender: its end with its parent, memory, time, size of files, network, other programs.

They hold against accidents and careless files: a mesh that takes all memory, an importer that never ends or that opens
a connection. They are no sandbox: native code in the process, also by way of ``ctypes``, can do what the user can.
Memory, processor time and the size of a file are limited where the system can do it: all three on Linux, the latter two
on macOS, none on Windows, where the time limit of the process that started it remains.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import stat
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

from .. import limits

STDIN = 0
LOST_PARENT = 1
FORBIDDEN = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "subprocess.Popen",
        "os.system",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "pty.spawn",
        "webbrowser.open",
    }
)
"""Audit events (https://docs.python.org/3/library/audit_events.html) of Python code; Blender's own has none of them."""


def enter(package: str, module: str) -> NoReturn:
    """Run ``main(request) -> int`` of a module under the limits, and end the process with its result.

    The request is the JSON object in the file that the argument behind ``--`` names.
    """
    end_with_stdin()
    limit_resources()
    sys.addaudithook(_refuse)
    code = 1
    try:
        request = json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8"))
        code = importlib.import_module(f"{package}.{module}").main(request)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 -- the top of a program, whose log is read by people
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def end_with_stdin() -> None:
    """End this process as soon as nobody holds the other end of its stdin; where that is no pipe, do nothing.

    A killed parent cannot end its children, and nobody else would: an orphan holds gigabytes.
    """
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(STDIN).st_mode):
            _end_by_signal()
            threading.Thread(target=_end_at_its_end, daemon=True).start()


def _end_by_signal() -> None:
    """Let the system end this process, on Linux: a thread has to wait while Blender's own code keeps the interpreter.

    A pipe whose other end is closed raises SIGIO, whose default is to end the process (fcntl(2), O_ASYNC).
    """
    if sys.platform == "linux":
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(STDIN, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(STDIN, fcntl.F_SETFL, fcntl.fcntl(STDIN, fcntl.F_GETFL) | os.O_ASYNC)


def _end_at_its_end() -> None:
    with contextlib.suppress(OSError):
        while os.read(STDIN, 1024):
            pass
    os._exit(LOST_PARENT)


def limit_resources() -> None:
    """Limit this process as :mod:`.limits` says; without core files, which would hold what the mesh did not need."""
    if sys.platform == "win32":
        return
    import resource

    allowed = limits.current()
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, allowed.processor_s)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and libraries ignore failed writes
    _lower(resource.RLIMIT_FSIZE, allowed.file_bytes)
    if sys.platform == "linux":  # others do not count, or count what is only reserved
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        _lower(resource.RLIMIT_DATA, allowed.memory_bytes or machine * 3 // 4)


def _lower(kind: int, wanted: int) -> None:
    import resource

    _, most = resource.getrlimit(kind)
    least = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(kind, (least, most))


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    if event in FORBIDDEN:
        raise PermissionError(f"{event} is not for a Blender that works on a foreign mesh")
