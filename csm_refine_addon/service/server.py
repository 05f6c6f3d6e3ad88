"""The service as a program: two HTTP servers, the queue, the data folder, and a clean end.

``main`` prints one line, ``listening on http://HOST:PORT``, to stdout. Requests and refines are logged in
``requests.log`` in the data folder, without keys and signatures; warnings go to stderr too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import logging.handlers
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core import disk_errors, private_files
from ..core.data_dir import resolve_data_dir
from ..core.errors import CsmError, InputError, StorageError
from ..core.models import Secret
from ..core.processes.background import BackgroundBlender, find_background_blender
from ..core.processes.local_service import ENDPOINT_FILE, endpoint
from ..core.secret_files import load_or_create_secret
from ..core.stdio import write
from . import http_limits
from .app import Api
from .auth import HostCheck, is_loopback
from .client_leases import ClientLeases
from .http_limits import Listener
from .mesh_server import MeshOrigin
from .refine_queue import TIME_LIMIT_S, Refining
from .service_key import key_origin, service_key
from .sessions import Sessions
from .signed_urls import SignedUrls
from .uploads import BODY_LIMIT_BYTES, MESH_LIMIT_BYTES, Inbox

log = logging.getLogger(__name__)

DEFAULT_PORT = 8787
LOG_FILE = "requests.log"
INBOX = "arriving"
_LOG_BYTES = 2 << 20
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """The command line, understood."""

    host: str
    port: int
    data: Path
    workers: int
    key_file: Path | None
    blender: BackgroundBlender
    time_limit_s: float
    until_unused: bool
    mesh_limit: int
    """In bytes."""


def main(argv: Sequence[str] | None = None, request: Mapping[str, object] | None = None) -> int:
    """Run the service until it is told to stop; return the exit code. ``request`` replaces options, by their names.

    0 after SIGTERM, SIGHUP or when it ends unused, 130 after SIGINT or where a signal interrupts its start, 2 for bad
    arguments, a used port, or a data folder that another service has; the error's own code where no Blender is found.
    """
    os.umask(private_files.OWN_UMASK)
    try:
        options = _parser().parse_args(argv)
        vars(options).update(request or {})
        settings = _settings(options)
        with _logging(settings.data):
            return _serve(settings)
    except CsmError as error:
        write(sys.stderr, f"{error}\n")
        return error.exit_code
    except OSError as error:
        if not (sentence := disk_errors.sentence(error)):
            raise
        write(sys.stderr, f"{sentence}\n")
        return StorageError.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="serve", description="Run the local refine service.")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; another than loopback needs a key file")
    add("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    add("--data", type=Path, help="folder of sessions, key and log")
    add("--workers", type=int, default=os.cpu_count() or 1, help="refines at a time (default: as many as cores)")
    add("--key-file", type=Path, help="file that holds the key clients must send")
    add("--blender", default="", metavar="PROGRAM", help="the Blender, or Python with bpy, that refines")
    add("--time-limit", type=float, default=TIME_LIMIT_S, metavar="S", help="for one refine (default: %(default)s)")
    add(
        "--mesh-limit",
        type=int,
        default=MESH_LIMIT_BYTES >> 20,
        metavar="MB",
        help="for one mesh (default: %(default)s)",
    )
    add("--until-unused", action="store_true", help="end some seconds after the last user has left")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    if not 0 <= options.port <= 65535:
        raise InputError("The port must be a number from 0 to 65535.", "Take 0 for a free one.")
    if options.workers < 1 or not options.time_limit > 0 or options.mesh_limit < 1:
        raise InputError("Workers and limits must be above zero.", "Leave them out for the defaults.")
    return Settings(
        host=options.host,
        port=options.port,
        data=(options.data or resolve_data_dir().service_folder()).expanduser().absolute(),
        workers=options.workers,
        key_file=options.key_file,
        blender=find_background_blender(options.blender),
        time_limit_s=options.time_limit,
        until_unused=options.until_unused,
        mesh_limit=options.mesh_limit << 20,
    )


def _serve(settings: Settings) -> int:
    with contextlib.ExitStack() as stack:
        sessions = Sessions(settings.data / "sessions")
        stack.callback(sessions.close)
        _prepare_inbox(settings.data / INBOX)
        key = service_key(settings.data, settings.key_file, is_loopback=is_loopback(settings.host))
        api_socket = stack.enter_context(_listening(settings.host, settings.port))
        files_socket = stack.enter_context(_files_listening(settings))
        stop = _StopSignals(stack)
        refining = Refining(sessions, settings.blender, settings.workers, settings.time_limit_s)
        users = ClientLeases()
        api, files = _applications(settings, key, sessions, refining, users, api_socket, files_socket)
        refining.start()
        stack.callback(refining.stop)
        http_limits.allow_open_files()
        api_socket.key = key
        http_limits.start(api.application(), api_socket, greatest_body=2 * settings.mesh_limit)
        http_limits.start(files, files_socket, greatest_body=BODY_LIMIT_BYTES)
        said = endpoint(_hosts(api_socket).url, key_origin(settings.key_file), settings.blender.program)
        shown_url = HostCheck(settings.host, _port(api_socket)).url
        stack.enter_context(_announced(settings.data / ENDPOINT_FILE, said, shown_url))
        stop.wait(lambda: settings.until_unused and users.is_unused(is_busy=refining.is_busy()))
        return stop.exit_code


def _prepare_inbox(folder: Path) -> None:
    """Remove uploads that an earlier end cut off; bodies are kept in this folder while they arrive, as meshes are."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tempfile.tempdir = str(folder)


def _applications(
    settings: Settings,
    key: Secret,
    sessions: Sessions,
    refining: Refining,
    users: ClientLeases,
    api_socket: socket.socket,
    files_socket: socket.socket,
) -> tuple[Api, MeshOrigin]:
    links = SignedUrls(load_or_create_secret(settings.data / "signing-key"), _port(files_socket))
    api = Api(
        key=key,
        hosts=_hosts(api_socket),
        sessions=sessions,
        refining=refining,
        links=links,
        users=users,
        inbox=Inbox(settings.data / INBOX, settings.mesh_limit),
    )
    files = MeshOrigin(settings.data / "sessions", links, _hosts(files_socket))
    return api, files


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[Listener]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = Listener(family, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere the option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        reason = f"The service cannot listen on {host}:{port}: {error.strerror}."
        raise InputError(reason, "Choose another port.") from error
    with listener:
        yield listener


def _files_listening(settings: Settings) -> contextlib.AbstractContextManager[Listener]:
    """The mesh origin stands on the next port where a port was asked for, so that a firewall can be told."""
    return _listening(settings.host, settings.port + 1 if settings.port else 0)


class _StopSignals:
    """SIGTERM, SIGHUP and SIGINT, remembered; the handlers of before come back at the end of ``stack``.

    A SIGHUP that is ignored, as ``nohup`` has it, stays so.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stop = threading.Event()
        self.exit_code = 0
        numbers = [signal.SIGTERM, signal.SIGINT]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            stack.callback(signal.signal, number, signal.signal(number, self._received))

    def _received(self, number: int, _frame: object) -> None:
        self.exit_code = 130 if number == signal.SIGINT else 0
        self._stop.set()

    def wait(self, is_unused: Any) -> None:
        """Return when a signal came, or the service is unused."""
        while not self._stop.wait(_WATCH_S) and not is_unused():
            pass
        log.info("stopping")


@contextlib.contextmanager
def _announced(path: Path, said: Mapping[str, object], url: str) -> Iterator[None]:
    """Tell the address on stdout and in the endpoint file, which is there for as long as the service listens."""
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(said), "utf-8")
    draft.replace(path)
    log.info("listening on %s", url)
    write(sys.stdout, f"listening on {url}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _logging(folder: Path) -> Iterator[None]:
    try:
        private_files.open_data_dir(folder)
        file = logging.handlers.RotatingFileHandler(folder / LOG_FILE, maxBytes=_LOG_BYTES, backupCount=1)
    except OSError as error:
        reason = f"The data folder {folder} cannot be written: {error.strerror}."
        raise StorageError(reason, "Choose another --data.") from error
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [file, terminal]
    loggers = [logging.getLogger(name) for name in (__package__, "waitress")]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for logger in loggers:
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            for logger in loggers:
                logger.removeHandler(handler)
            with contextlib.suppress(OSError):  # on a full disk, what it holds cannot be written
                handler.close()


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _hosts(listener: socket.socket) -> HostCheck:
    """Return the check for the numeric address that a socket listens at: a name may stand for several."""
    return HostCheck(*listener.getsockname()[:2])
