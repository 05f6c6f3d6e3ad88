"""The engine as a process of its own: drives every unfinished job of the journal while Blender goes on.

:func:`start` starts it with Blender's own Python, in the home folder. Lines of JSON come over stdin: first the request
(home, Blender, the service to check), then at once and after each change the state of Blender: whether it is online,
the keys or the command that prints them, the network time-out. Jobs come from, and go to, the journal. When stdin
closes, it ends within a second.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .. import serialization
from ..addresses import is_loopback
from ..data_dir import DataDir
from ..errors import CsmError, JobStoreBusy, KeyMissing, KeyRefused, StorageError
from ..models import LOCAL, TERMINAL, Job, JobState, Secret
from ..private_files import OWN_UMASK
from ..processes.background import Cancelled, module_environment, python_command, request_line
from ..processes.blender_tasks import BackgroundTasks
from ..processes.local_service import LocalService
from ..providers.account_binding import AccountBinding
from ..providers.client import Client
from ..providers.client_factory import DEFAULT_TIMEOUT_S, ClientFactory
from ..providers.credentials import KeyCommand, Keyring
from ..providers.rate_limit import Polling, ThrottledClient
from ..stdio import write
from . import state_machine
from .cancellation import Canceller
from .heartbeat import LeaseKeeper
from .job_store import JobStore
from .lookup_worker import LookupWorker
from .runner import LEASE_S, JobRunner

MODULE = "core.jobs.worker"
LOOK_EVERY_S = 0.2
SWEEP_EVERY_S = 2.0
"""How often leases that another process lost are looked for, though nothing was written."""
LEAVE_S = 0.3
"""How long the jobs' threads together may take to end, before they are left behind."""
_log = logging.getLogger("csm_refine.worker")


def start(home: DataDir, python: str, blender: str, *, check: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Start the worker, or a check of the service at the address ``check``; it reads control lines from its stdin.

    ``blender`` is ``bpy.app.binary_path``, empty in the bpy module. ``options`` are Popen's. Raises OSError where it
    cannot be started, or where there is no home folder.
    """
    process = subprocess.Popen(
        python_command(python, MODULE), stdin=subprocess.PIPE, cwd=home.folder, env=module_environment(), **options
    )
    request = {"home": str(home.folder.absolute()), "blender": blender, "check": check}
    if process.stdin:
        with contextlib.suppress(OSError):  # it has ended already
            process.stdin.write(request_line(request))
            process.stdin.flush()
    return process


def control_line(
    online: bool,
    keys: Mapping[str, Secret],
    timeout_s: float = DEFAULT_TIMEOUT_S,
    key_command: KeyCommand = KeyCommand(),  # noqa: B008 -- frozen
    chosen: Iterable[str] = (),
) -> bytes:
    """Return the line that tells the worker how things stand; ``keys`` as in :func:`~.key_sources.key_for`.

    ``chosen`` are the addresses that the user chose: jobs without an account and look-ups go to no other.
    """
    shown = {service: key.reveal() for service, key in keys.items()}
    command = dataclasses.asdict(key_command)
    said = {
        "online": online,
        "keys": shown,
        "timeout_s": timeout_s,
        "key_command": command,
        "chosen": sorted(chosen),
    }
    return request_line(said)


@dataclass(slots=True)
class Control:
    """What Blender last said. ``ended`` is set when it says no more."""

    online: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    chosen: frozenset[str] = frozenset()
    ended: threading.Event = field(default_factory=threading.Event)
    keyring: Keyring = field(init=False)

    def __post_init__(self) -> None:
        self.keyring = Keyring(self.ended.wait)

    def read_line(self, stream: BinaryIO) -> bool:
        """Take in the next line; False at the end of the stream."""
        line = stream.readline()
        if not line:
            return False
        said = json.loads(line)
        keys = {service: Secret(key) for service, key in said["keys"].items()}
        self.chosen = frozenset(said.get("chosen", ()))
        self.keyring.take(keys, serialization.decode(KeyCommand, said.get("key_command", {})))
        self.timeout_s = float(said["timeout_s"])
        self.online = bool(said["online"])
        return True

    def listen(self, stream: BinaryIO) -> None:
        """Take in lines until the stream ends, however it ends."""
        try:
            while self.read_line(stream):
                pass
        finally:
            self.ended.set()


class _Driven:
    """A job that is being driven on a thread of its own."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self.job_id = job.id
        self.stop = threading.Event()
        self.thread = threading.Thread(target=worker.drive, args=(job.id, self.stop), name=job.id, daemon=True)


class Worker:
    """Drives the jobs of one journal, each on a thread, until :attr:`Control.ended`."""

    def __init__(self, home: DataDir, control: Control, blender: str) -> None:
        self._home = home
        self._control = control
        self._blender = blender
        self._local_service = LocalService(home, blender=blender)
        self._polling = Polling()
        self._driven: dict[str, _Driven] = {}
        self._active: dict[str, Job] = {}
        self._removed: set[str] = set()
        self._canceller = Canceller(home, lambda: self._services(control.ended).client(LOCAL))
        self._revision = 0
        self._owner = ""

    def run(self) -> None:
        """Look for jobs and drive them until the end is said. Raises StorageError where there is no journal."""
        presence = LeaseKeeper(self._home, self._local_service, lambda: [*self._at_work(), *answering.at_work()])
        self._owner = presence.owner
        answering = LookupWorker(self._home, self._owner, self._client, self._may_ask)
        with presence, self._opened_journal() as journal:
            answering.clear(journal)
            seen, looked_at = (-1, 0), 0.0
            while not self._control.ended.wait(LOOK_EVERY_S):
                try:
                    version = journal.data_version(), self._control.keyring.revision
                    if version == seen and time.monotonic() - looked_at < SWEEP_EVERY_S:
                        continue
                    self._look(journal)
                    answering.look(journal)
                except JobStoreBusy as error:  # to end now would only start another worker, which finds it locked, too
                    _log.warning("%s", error)
                else:
                    seen, looked_at = version, time.monotonic()
            self._stop_all(journal)

    def _at_work(self) -> list[str]:
        return [job_id for job_id, driven in list(self._driven.items()) if driven.thread.is_alive()]

    def _opened_journal(self) -> JobStore:
        while True:
            try:
                return JobStore(self._home.journal)
            except JobStoreBusy as error:
                _log.warning("%s", error)
                if self._control.ended.wait(LOOK_EVERY_S):
                    raise

    def drive(self, job_id: str, stop: threading.Event) -> None:
        """Drive one job on the calling thread, with a journal and clients of its own."""
        try:
            with JobStore(self._home.journal) as journal:
                try:
                    self._drive(journal, job_id, stop)
                finally:
                    journal.release(job_id, self._owner)
        except CsmError as error:
            _log.warning("job %s: %s", job_id, error)

    def _drive(self, journal: JobStore, job_id: str, stop: threading.Event) -> None:
        try:
            services = self._services(stop)
            job = self._engine(journal, stop, services).drive(job_id)
            used = services.key(job.service) if job.error and job.error.code == KeyRefused.code else None
            if used is not None:
                self._control.keyring.forget(used)
        except CsmError:
            raise
        except Exception:  # noqa: BLE001 -- the top of the thread
            _log.exception("job %s", job_id)
            journal.change(job_id, self._given_up)

    def _given_up(self, job: Job) -> Job:
        error = CsmError(
            "CSM Refine made a mistake with this job.",
            f"Retry; report it, please, with what {self._home.worker_log} says.",
        )
        return job if job.state in TERMINAL else state_machine.failed(job, error, time.time())

    def _services(self, stop: threading.Event) -> ClientFactory:
        return ClientFactory(
            self._local_service,
            key_of=self._control.keyring.key,
            is_online=lambda: self._control.online,
            pause=stop.wait,
            timeout_s=self._control.timeout_s,
        )

    def _client(self, service: str) -> Client:
        """Return a client for one look-up."""
        ended = self._control.ended
        return ThrottledClient(self._polling, self._services(ended), ended.wait).client(service)

    def _may_ask(self, service: str) -> bool:
        """Tell whether a question can be answered from here; another Blender's worker may have what is missing."""
        if service != LOCAL and not self._is_chosen(service):
            return False
        try:
            has_key = service == LOCAL or self._control.keyring.key(service) is not None
        except KeyMissing:
            has_key = True  # the question's answer says why there is none
        return has_key and (self._control.online or is_loopback(service))

    def _is_chosen(self, service: str) -> bool:
        return service in self._control.chosen

    def _engine(self, journal: JobStore, stop: threading.Event, services: ClientFactory) -> JobRunner:
        workshop = BackgroundTasks(self._home, self._blender, stop.wait)
        asking, holds = ThrottledClient(self._polling, services, stop.wait), self._holds(journal, services)
        return JobRunner(journal, self._home, asking.client, workshop, stop.wait, holds=holds, look=asking.look)

    def _holds(self, journal: JobStore, services: ClientFactory) -> Callable[[str], bool]:
        """Return what tells whether a job is still ours to drive: with its lease, and the key that it began with."""

        def unchanged(service: str) -> Secret | None:
            key = services.key(service)
            return key if key == self._control.keyring.key(service) else None

        def holds(job_id: str) -> bool:
            is_ours = journal.claim(job_id, self._owner, time.time(), LEASE_S)
            gate = AccountBinding(self._home.folder, self._owner, unchanged, self._is_chosen)
            return is_ours and gate.admits(journal, journal.get(job_id))

        return holds

    def _look(self, journal: JobStore) -> None:
        """Start what waits to be driven, stop what the user stopped or removed."""
        self._driven = {job_id: driven for job_id, driven in self._driven.items() if driven.thread.is_alive()}
        self._read_changes(journal)
        for job_id in self._removed - self._driven.keys():
            if self._home.delete_job_folder(job_id):
                self._removed.discard(job_id)
        held = journal.held_by_others(self._owner, time.time(), LEASE_S)
        self._canceller.clear(held.union(self._driven))
        held |= self._canceller.look(journal)
        for job in self._active.values():
            if job.id not in self._driven and job.id not in held and self._may_drive(journal, job):
                self._start(journal, job)

    def _read_changes(self, journal: JobStore) -> None:
        changes = journal.changes_since(self._revision)
        self._revision = changes.revision
        self._removed.update(changes.removed)
        for job_id in changes.removed:
            self._active.pop(job_id, None)
        for job in changes.jobs:
            self._canceller.note(job)
            self._active[job.id] = job
            if not state_machine.is_active(job):
                del self._active[job.id]
        stopped = {job.id for job in changes.jobs if job.state is JobState.STOPPED}.union(changes.removed)
        for job_id in stopped & self._driven.keys():
            self._driven[job_id].stop.set()

    def _may_drive(self, journal: JobStore, job: Job) -> bool:
        gate = AccountBinding(self._home.folder, self._owner, self._control.keyring.key, self._is_chosen)
        return gate.admits(journal, job)

    def _start(self, journal: JobStore, job: Job) -> None:
        if journal.claim(job.id, self._owner, time.time(), LEASE_S):
            self._driven[job.id] = driven = _Driven(self, job)
            driven.thread.start()

    def _stop_all(self, journal: JobStore) -> None:
        for driven in self._driven.values():
            driven.stop.set()
        ends_at = time.monotonic() + LEAVE_S
        for driven in self._driven.values():
            driven.thread.join(max(0.0, ends_at - time.monotonic()))
            journal.release(driven.job_id, self._owner)
        self._control.keyring.let_go(max(0.1, ends_at - time.monotonic()))


def check_service(home: DataDir, control: Control, blender: str, service: str) -> dict[str, object]:
    """Ask a service whether address and key are good; return ``{"ok", "message"}``. Raises Stopped at the end."""
    local_service = LocalService(home, blender=blender)
    services = ClientFactory(
        local_service,
        key_of=control.keyring.awaited,
        is_online=lambda: control.online,
        pause=control.ended.wait,
        timeout_s=control.timeout_s,
    )
    try:
        services.client(service).check_key()
    except CsmError as error:
        return {"ok": False, "message": str(error)}
    finally:
        local_service.let_go()
    return {"ok": True, "message": "The service answers and takes the key."}


def _answer(home: DataDir, control: Control, blender: str, service: str) -> None:
    """Check a service, say what came of it, and end."""
    try:
        write(sys.stdout, json.dumps(check_service(home, control, blender, service)) + "\n")
    except Cancelled:
        pass
    finally:
        control.ended.set()


def main() -> int:
    """Run the worker, or one check whose result goes to stdout as a line of JSON, as the first line of stdin says.

    Both end with stdin, in the middle of a request, too.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    os.umask(OWN_UMASK)
    line, control = sys.stdin.buffer.readline(), Control()
    if not line or not control.read_line(sys.stdin.buffer):
        return 0
    request = json.loads(line)
    home, blender, service = DataDir(Path(request["home"])), request["blender"], request["check"]
    threading.Thread(target=control.listen, args=(sys.stdin.buffer,), name="control", daemon=True).start()
    if service:
        threading.Thread(target=_answer, args=(home, control, blender, service), name="check", daemon=True).start()
        control.ended.wait()
        control.keyring.let_go(LEAVE_S)
        return 0
    try:
        Worker(home, control, blender).run()
    except StorageError as error:
        _log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads in a network call would hold the interpreter's end for up to a time-out
