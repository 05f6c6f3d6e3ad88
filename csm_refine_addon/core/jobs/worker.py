"""Worker process: runs every unfinished job of the job store in the background of Blender.

:func:`start` starts it with Blender's own Python, in the data directory. It reads lines of JSON from stdin: first the
request (data directory, Blender, the service to check), then the state of Blender at once and after each change:
online access, the keys or the command that prints them, the network time-out. Jobs are read from and written to the
job store. When stdin closes, the process ends within a second.
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
POLL_EVERY_S = 0.2
SWEEP_EVERY_S = 2.0
"""Interval of the search for expired leases of other processes if the job store is unchanged."""
SHUTDOWN_S = 0.3
"""Time limit for all job threads together to end; then they are abandoned."""
_log = logging.getLogger("csm_refine.worker")


def start(data_dir: DataDir, python: str, blender: str, *, check: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Start the worker, or a check of the service at the address ``check``; it reads control lines from its stdin.

    ``blender`` is ``bpy.app.binary_path``, empty in the bpy module. ``options`` are Popen's. Raises OSError if it
    cannot be started, or if there is no data directory.
    """
    process = subprocess.Popen(
        python_command(python, MODULE), stdin=subprocess.PIPE, cwd=data_dir.folder, env=module_environment(), **options
    )
    request = {"home": str(data_dir.folder.absolute()), "blender": blender, "check": check}
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
    """Return the control line with the state of Blender; ``keys`` as in :func:`~.credentials.key_for`.

    ``chosen`` are the addresses that the user chose: lookups and jobs without an account use only these.
    """
    shown = {service: key.reveal() for service, key in keys.items()}
    command = dataclasses.asdict(key_command)
    state = {
        "online": online,
        "keys": shown,
        "timeout_s": timeout_s,
        "key_command": command,
        "chosen": sorted(chosen),
    }
    return request_line(state)


@dataclass(slots=True)
class Control:
    """The last state received from Blender. ``ended`` is set at the end of stdin."""

    online: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S
    chosen: frozenset[str] = frozenset()
    ended: threading.Event = field(default_factory=threading.Event)
    keyring: Keyring = field(init=False)

    def __post_init__(self) -> None:
        self.keyring = Keyring(self.ended.wait)

    def read_line(self, stream: BinaryIO) -> bool:
        """Read and apply the next line; False at the end of the stream."""
        line = stream.readline()
        if not line:
            return False
        state = json.loads(line)
        keys = {service: Secret(key) for service, key in state["keys"].items()}
        self.chosen = frozenset(state.get("chosen", ()))
        self.keyring.take(keys, serialization.decode(KeyCommand, state.get("key_command", {})))
        self.timeout_s = float(state["timeout_s"])
        self.online = bool(state["online"])
        return True

    def listen(self, stream: BinaryIO) -> None:
        """Read lines until the stream ends or fails."""
        try:
            while self.read_line(stream):
                pass
        finally:
            self.ended.set()


class _JobThread:
    """The thread of one running job, with its stop event."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self.job_id = job.id
        self.stop = threading.Event()
        self.thread = threading.Thread(target=worker.drive, args=(job.id, self.stop), name=job.id, daemon=True)


class Worker:
    """Runs the jobs of one job store, each on a thread, until :attr:`Control.ended`."""

    def __init__(self, data_dir: DataDir, control: Control, blender: str) -> None:
        self._data_dir = data_dir
        self._control = control
        self._blender = blender
        self._local_service = LocalService(data_dir, blender=blender)
        self._polling = Polling()
        self._job_threads: dict[str, _JobThread] = {}
        self._active: dict[str, Job] = {}
        self._removed: set[str] = set()
        self._canceller = Canceller(data_dir, lambda: self._client_factory(control.ended).client(LOCAL))
        self._revision = 0
        self._owner = ""

    def run(self) -> None:
        """Find and run jobs until :attr:`Control.ended`. Raises StorageError if the job store cannot be opened."""
        lease_keeper = LeaseKeeper(
            self._data_dir, self._local_service, lambda: [*self._active_ids(), *lookup_worker.active_keys()]
        )
        self._owner = lease_keeper.owner
        lookup_worker = LookupWorker(self._data_dir, self._owner, self._client, self._may_look_up)
        with lease_keeper, self._open_store() as store:
            lookup_worker.delete_expired(store)
            seen, swept_at = (-1, 0), 0.0
            while not self._control.ended.wait(POLL_EVERY_S):
                try:
                    versions = store.data_version(), self._control.keyring.revision
                    if versions == seen and time.monotonic() - swept_at < SWEEP_EVERY_S:
                        continue
                    self._sweep(store)
                    lookup_worker.start_pending(store)
                except JobStoreBusy as error:  # if this worker ended, Blender would start another one
                    _log.warning("%s", error)
                else:
                    seen, swept_at = versions, time.monotonic()
            self._stop_all(store)

    def _active_ids(self) -> list[str]:
        return [job_id for job_id, job_thread in list(self._job_threads.items()) if job_thread.thread.is_alive()]

    def _open_store(self) -> JobStore:
        while True:
            try:
                return JobStore(self._data_dir.journal)
            except JobStoreBusy as error:
                _log.warning("%s", error)
                if self._control.ended.wait(POLL_EVERY_S):
                    raise

    def drive(self, job_id: str, stop: threading.Event) -> None:
        """Run one job on the calling thread, with its own store connection and clients."""
        try:
            with JobStore(self._data_dir.journal) as store:
                try:
                    self._drive(store, job_id, stop)
                finally:
                    store.release(job_id, self._owner)
        except CsmError as error:
            _log.warning("job %s: %s", job_id, error)

    def _drive(self, store: JobStore, job_id: str, stop: threading.Event) -> None:
        try:
            client_factory = self._client_factory(stop)
            job = self._job_runner(store, stop, client_factory).drive(job_id)
            used = client_factory.key(job.service) if job.error and job.error.code == KeyRefused.code else None
            if used is not None:
                self._control.keyring.forget(used)
        except CsmError:
            raise
        except Exception:  # noqa: BLE001 -- the top of the thread
            _log.exception("job %s", job_id)
            store.change(job_id, self._fail_after_crash)

    def _fail_after_crash(self, job: Job) -> Job:
        error = CsmError(
            "CSM Refine made a mistake with this job.",
            f"Retry; report it, please, with what {self._data_dir.worker_log} says.",
        )
        return job if job.state in TERMINAL else state_machine.failed(job, error, time.time())

    def _client_factory(self, stop: threading.Event) -> ClientFactory:
        return ClientFactory(
            self._local_service,
            key_of=self._control.keyring.key,
            is_online=lambda: self._control.online,
            pause=stop.wait,
            timeout_s=self._control.timeout_s,
        )

    def _client(self, service: str) -> Client:
        """Return a client for one lookup."""
        ended = self._control.ended
        return ThrottledClient(self._polling, self._client_factory(ended), ended.wait).client(service)

    def _may_look_up(self, service: str) -> bool:
        """Return whether this worker can run a lookup; another worker may have the key or online access."""
        if service != LOCAL and not self._is_chosen(service):
            return False
        try:
            has_key = service == LOCAL or self._control.keyring.key(service) is not None
        except KeyMissing:
            has_key = True  # the lookup's error is the reason
        return has_key and (self._control.online or is_loopback(service))

    def _is_chosen(self, service: str) -> bool:
        return service in self._control.chosen

    def _job_runner(self, store: JobStore, stop: threading.Event, client_factory: ClientFactory) -> JobRunner:
        blender_tasks = BackgroundTasks(self._data_dir, self._blender, stop.wait)
        throttled, renew_lease = (
            ThrottledClient(self._polling, client_factory, stop.wait),
            self._lease_check(store, client_factory),
        )
        return JobRunner(
            store,
            self._data_dir,
            throttled.client,
            blender_tasks,
            stop.wait,
            renew_lease=renew_lease,
            read_session=throttled.look,
        )

    def _lease_check(self, store: JobStore, client_factory: ClientFactory) -> Callable[[str], bool]:
        """Return a function that renews the lease of a job and checks that its key is unchanged."""

        def unchanged(service: str) -> Secret | None:
            key = client_factory.key(service)
            return key if key == self._control.keyring.key(service) else None

        def renew_lease(job_id: str) -> bool:
            is_ours = store.claim(job_id, self._owner, time.time(), LEASE_S)
            account_binding = AccountBinding(self._data_dir.folder, self._owner, unchanged, self._is_chosen)
            return is_ours and account_binding.admits(store, store.get(job_id))

        return renew_lease

    def _sweep(self, store: JobStore) -> None:
        """Start waiting jobs; stop jobs that the user stopped or removed."""
        self._job_threads = {
            job_id: job_thread for job_id, job_thread in self._job_threads.items() if job_thread.thread.is_alive()
        }
        self._read_changes(store)
        for job_id in self._removed - self._job_threads.keys():
            if self._data_dir.delete_job_folder(job_id):
                self._removed.discard(job_id)
        held = store.held_by_others(self._owner, time.time(), LEASE_S)
        self._canceller.clear(held.union(self._job_threads))
        held |= self._canceller.look(store)
        for job in self._active.values():
            if job.id not in self._job_threads and job.id not in held and self._may_drive(store, job):
                self._start(store, job)

    def _read_changes(self, store: JobStore) -> None:
        changes = store.changes_since(self._revision)
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
        for job_id in stopped & self._job_threads.keys():
            self._job_threads[job_id].stop.set()

    def _may_drive(self, store: JobStore, job: Job) -> bool:
        account_binding = AccountBinding(self._data_dir.folder, self._owner, self._control.keyring.key, self._is_chosen)
        return account_binding.admits(store, job)

    def _start(self, store: JobStore, job: Job) -> None:
        if store.claim(job.id, self._owner, time.time(), LEASE_S):
            self._job_threads[job.id] = job_thread = _JobThread(self, job)
            job_thread.thread.start()

    def _stop_all(self, store: JobStore) -> None:
        for job_thread in self._job_threads.values():
            job_thread.stop.set()
        ends_at = time.monotonic() + SHUTDOWN_S
        for job_thread in self._job_threads.values():
            job_thread.thread.join(max(0.0, ends_at - time.monotonic()))
            store.release(job_thread.job_id, self._owner)
        self._control.keyring.let_go(max(0.1, ends_at - time.monotonic()))


def check_service(data_dir: DataDir, control: Control, blender: str, service: str) -> dict[str, object]:
    """Check address and key of a service; return ``{"ok", "message"}``. Raises Cancelled when stdin ends."""
    local_service = LocalService(data_dir, blender=blender)
    client_factory = ClientFactory(
        local_service,
        key_of=control.keyring.awaited,
        is_online=lambda: control.online,
        pause=control.ended.wait,
        timeout_s=control.timeout_s,
    )
    try:
        client_factory.client(service).check_key()
    except CsmError as error:
        return {"ok": False, "message": str(error)}
    finally:
        local_service.let_go()
    return {"ok": True, "message": "The service answers and takes the key."}


def _run_check(data_dir: DataDir, control: Control, blender: str, service: str) -> None:
    """Check a service, write the result to stdout, and set ``ended``."""
    try:
        write(sys.stdout, json.dumps(check_service(data_dir, control, blender, service)) + "\n")
    except Cancelled:
        pass
    finally:
        control.ended.set()


def main() -> int:
    """Run the worker, or one service check, as the first line of stdin requests; return the exit code.

    A check writes its result to stdout as a line of JSON. Both end with stdin, even during a request.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    os.umask(OWN_UMASK)
    line, control = sys.stdin.buffer.readline(), Control()
    if not line or not control.read_line(sys.stdin.buffer):
        return 0
    request = json.loads(line)
    data_dir, blender, service = DataDir(Path(request["home"])), request["blender"], request["check"]
    threading.Thread(target=control.listen, args=(sys.stdin.buffer,), name="control", daemon=True).start()
    if service:
        threading.Thread(
            target=_run_check, args=(data_dir, control, blender, service), name="check", daemon=True
        ).start()
        control.ended.wait()
        control.keyring.let_go(SHUTDOWN_S)
        return 0
    try:
        Worker(data_dir, control, blender).run()
    except StorageError as error:
        _log.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads in a network call would delay the exit by up to a time-out
