"""The local service with a proxy of faults in front of it, as one program."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from csm_refine_addon.commands.interrupts import SIGNALS

from .proxy import FaultProxy
from .schedule import FaultFileError, Plan, read_plan

LOOK_EVERY_S = 0.2
DEFAULT_PORT = 8787
_ROOT = Path(__file__).resolve().parents[3]


def main(arguments: Sequence[str]) -> int:
    """Run the service behind a proxy with the faults of ``--faults FILE``; the other options are the service's.

    The file is read again whenever it changes. Returns the exit code: 2 where the file or the port cannot be used.
    """
    parser = argparse.ArgumentParser(prog="serve", allow_abbrev=False)
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    options, others = parser.parse_known_args(arguments)
    try:
        file = _FaultFile(options.faults)
    except FaultFileError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return _serve(file, options.port, others)


def _serve(file: _FaultFile, port: int, others: Sequence[str]) -> int:
    stop = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    command = [sys.executable, "-P", "-m", "csm_refine_addon.service", "--port", "0", *others]
    pipe = {"stdout": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": str(_ROOT)}}
    with subprocess.Popen(command, cwd=_ROOT, start_new_session=True, **pipe) as service:
        line = service.stdout.readline() if service.stdout else ""
        if not line:
            return service.wait() or 1
        try:
            with FaultProxy(line.split()[-1], file.plan, port=port) as proxy:
                print(f"listening on {proxy.url}", flush=True)
                while service.poll() is None and not stop.wait(LOOK_EVERY_S):
                    file.apply_changes(proxy)
        except OSError as error:
            sys.stderr.write(f"The proxy cannot listen on port {port}: {error.strerror}. Choose another port.\n")
            return 2
        finally:
            service.terminate()
        return service.wait()


class _FaultFile:
    """The file of faults, and what it said when it was last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = self._changed_at()
        self.plan: Plan = read_plan(path)

    def apply_changes(self, proxy: FaultProxy) -> None:
        """Take over what was changed; a mistake is told on stderr, and the rules stay as they are."""
        changed_at = self._changed_at()
        if changed_at == self._read_at:
            return
        self._read_at = changed_at
        try:
            proxy.apply(Plan(read_plan(self._path).rules, self.plan.tls))
        except FaultFileError as error:
            sys.stderr.write(f"{error}\n")

    def _changed_at(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0
