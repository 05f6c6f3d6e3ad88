"""The service program: command line, the API server, the mesh file server, the refine queue, logging and shutdown.

``main`` prints one line, ``listening on http://HOST:PORT``, to stdout. Requests and refines are logged in
``requests.log`` in the data folder, without keys and signatures; warnings also go to stderr.
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
from .mesh_server import MeshServer
from .refine_queue import TIME_LIMIT_S, RefineQueue
from .service_key import key_origin, service_key
from .sessions import Sessions
from .signed_urls import SignedUrls
from .uploads import BODY_LIMIT_BYTES, MESH_LIMIT_BYTES, UploadFolder

log = logging.getLogger(__name__)

DEFAULT_PORT = 8787
LOG_FILE = "requests.log"
UPLOADS = "arriving"
_LOG_BYTES = 2 << 20
_POLL_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated command-line options."""

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
    """Run the service until it receives a stop signal; return the exit code. ``request`` overrides options by name.

    The exit code is 0 after SIGTERM, after SIGHUP, or when ``--until-unused`` ends the service; 130 after SIGINT or a
    signal during startup; 2 for bad arguments, a port in use, or a data folder that another service has open. If no
    Blender is found, it is that error's own code.
    """
    os.umask(private_files.OWN_UMASK)
    try:
        options = _parser().parse_args(argv)
        vars(options).update(request or {})
        settings = _settings(options)
        with _log_to(settings.data):
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
        _prepare_uploads(settings.data / UPLOADS)
        key = service_key(settings.data, settings.key_file, is_loopback=is_loopback(settings.host))
        api_socket = stack.enter_context(_listen(settings.host, settings.port))
        files_socket = stack.enter_context(_listen_for_files(settings))
        stop = _StopSignals(stack)
        refining = RefineQueue(sessions, settings.blender, settings.workers, settings.time_limit_s)
        users = ClientLeases()
        api, files = _applications(settings, key, sessions, refining, users, api_socket, files_socket)
        refining.start()
        stack.callback(refining.stop)
        http_limits.allow_open_files()
        api_socket.key = key
        http_limits.start(api.application(), api_socket, max_body_bytes=2 * settings.mesh_limit)
        http_limits.start(files, files_socket, max_body_bytes=BODY_LIMIT_BYTES)
        document = endpoint(_hosts(api_socket).url, key_origin(settings.key_file), settings.blender.program)
        url = HostCheck(settings.host, _port(api_socket)).url
        stack.enter_context(_publish_endpoint(settings.data / ENDPOINT_FILE, document, url))
        stop.wait(lambda: settings.until_unused and users.is_unused(is_busy=refining.is_busy()))
        return stop.exit_code


def _prepare_uploads(folder: Path) -> None:
    """Remove incomplete uploads of an earlier run, and make this the temporary folder of request bodies."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tempfile.tempdir = str(folder)


def _applications(
    settings: Settings,
    key: Secret,
    sessions: Sessions,
    refining: RefineQueue,
    users: ClientLeases,
    api_socket: socket.socket,
    files_socket: socket.socket,
) -> tuple[Api, MeshServer]:
    links = SignedUrls(load_or_create_secret(settings.data / "signing-key"), _port(files_socket))
    api = Api(
        key=key,
        hosts=_hosts(api_socket),
        sessions=sessions,
        refining=refining,
        links=links,
        users=users,
        uploads=UploadFolder(settings.data / UPLOADS, settings.mesh_limit),
    )
    files = MeshServer(settings.data / "sessions", links, _hosts(files_socket))
    return api, files


@contextlib.contextmanager
def _listen(host: str, port: int) -> Iterator[Listener]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = Listener(family, socket.SOCK_STREAM)
        if os.name == "posix":  # on Windows the option lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        reason = f"The service cannot listen on {host}:{port}: {error.strerror}."
        raise InputError(reason, "Choose another port.") from error
    with listener:
        yield listener


def _listen_for_files(settings: Settings) -> contextlib.AbstractContextManager[Listener]:
    """Listen for mesh downloads: on the port after ``--port``, so that a firewall rule can name it, or on any free one.

    A ``--port`` of 0 selects a free port for both.
    """
    return _listen(settings.host, settings.port + 1 if settings.port else 0)


class _StopSignals:
    """Records SIGTERM, SIGHUP and SIGINT; closing ``stack`` restores the previous handlers.

    If SIGHUP is ignored, as under ``nohup``, it stays ignored.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stop = threading.Event()
        self.exit_code = 0
        numbers = [signal.SIGTERM, signal.SIGINT]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            stack.callback(signal.signal, number, signal.signal(number, self._on_signal))

    def _on_signal(self, number: int, _frame: object) -> None:
        self.exit_code = 130 if number == signal.SIGINT else 0
        self._stop.set()

    def wait(self, is_unused: Any) -> None:
        """Block until a signal arrives or ``is_unused()`` is true."""
        while not self._stop.wait(_POLL_INTERVAL_S) and not is_unused():
            pass
        log.info("stopping")


@contextlib.contextmanager
def _publish_endpoint(path: Path, document: Mapping[str, object], url: str) -> Iterator[None]:
    """Print the URL to stdout and write the endpoint file; remove the file at the end of the block."""
    private_files.write_atomically(path, json.dumps(document))
    log.info("listening on %s", url)
    write(sys.stdout, f"listening on {url}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _log_to(folder: Path) -> Iterator[None]:
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
            with contextlib.suppress(OSError):  # on a full disk, buffered lines cannot be written
                handler.close()


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _hosts(listener: socket.socket) -> HostCheck:
    """Return the Host check for the socket's numeric address: a host name may resolve to several addresses."""
    return HostCheck(*listener.getsockname()[:2])
