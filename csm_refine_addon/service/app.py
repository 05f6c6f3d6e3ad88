"""The HTTP API as a WSGI application: routes, request checks, response envelopes."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sqlite3
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import bottle

from ..core import disk_errors, mesh_files
from ..core.errors import CsmError, InputError, MeshUnusable, SessionNotRefinable, SessionUnknown
from ..core.jobs import recovery
from ..core.mesh_files import MeshKind, blend_files
from ..core.models import Secret
from ..core.providers.key_proof import PATH as PROOF_PATH, is_challenge, proof
from ..remesh.refine_settings import PICTURE
from . import responses
from .auth import HostCheck, host_name, is_from_web_page, is_valid_key
from .client_leases import ClientLeases
from .refine_queue import RefineQueue
from .request_schema import parse_order
from .sessions import Session, Sessions, Stage
from .signed_urls import SignedUrls
from .upload_losses import losses
from .uploads import BodyTooLarge, UploadFolder, read_json_body

log = logging.getLogger(__name__)

MAX_LIST = 100
API_VERSION = 1
_USER = re.compile(r"[0-9A-Za-z._-]{1,64}", re.ASCII)
_V2 = "/image-to-3d-sessions"
_LOCAL = "/local/sessions"
_STATUS_OF_ERROR: dict[type[CsmError], int] = {SessionUnknown: 404, SessionNotRefinable: 409, BodyTooLarge: 413}
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Responses contain signed URLs, which must not be cached."""
_NO_IMAGE_MODEL = (
    "This service has no image model: it refines meshes that you bring. "
    "Send a GLB, an OBJ or a zip of OBJ with MTL and textures to POST /local/sessions."
)


class Api:
    """The request handlers."""

    def __init__(
        self,
        *,
        key: Secret,
        hosts: HostCheck,
        sessions: Sessions,
        refining: RefineQueue,
        links: SignedUrls,
        users: ClientLeases,
        uploads: UploadFolder,
    ) -> None:
        self._key = key
        self._hosts = hosts
        self._sessions = sessions
        self._refining = refining
        self._links = links
        self._users = users
        self._uploads = uploads

    def application(self) -> Any:
        """Return the WSGI application."""
        app = bottle.Bottle()
        app.add_hook("before_request", self._check_caller)
        app.default_error_handler = _error_page
        for method, path, handler in self._routes():
            app.route(path, method, _in_envelope(handler))
        return app

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        return [
            ("POST", f"{_V2}/get-3d/refine/<code>", self.refine),
            ("POST", f"{_V2}/get-3d/preview/<code>", self.preview),
            ("GET", f"{_V2}/get-mesh/<code>", self.meshes),
            ("GET", f"{_V2}/<code>", self.session),
            ("GET", _V2, self.listing),
            ("POST", _V2, self.create_from_image),
            ("GET", "/user/userdata", self.userdata),
            ("GET", "/v3/sessions/<code>", self.session_v3),
            ("POST", _LOCAL, self.create_from_mesh),
            ("DELETE", f"{_LOCAL}/<code>", self.delete),
            ("DELETE", f"{_LOCAL}/<code>/refine", self.cancel),
            ("GET", "/local/info", self.info),
            ("GET", PROOF_PATH, self.prove_key),
            ("PUT", "/local/users/<user>", self.acquire_lease),
            ("DELETE", "/local/users/<user>", self.release_lease),
        ]

    def _check_caller(self) -> None:
        """Refuse unauthorized requests before routing, so that the response does not reveal which routes exist."""
        request = bottle.request
        if not self._hosts.allows(request.get_header("Host", "")):
            raise _refused(403, "This service is reached by another name.")
        if is_from_web_page(request.environ):
            raise _refused(403, "Web pages may not use this service.")
        needs_key = request.path != PROOF_PATH or not self._hosts.is_loopback
        if needs_key and not is_valid_key(self._key, request.get_header("x-api-key", "")):
            raise _refused(401, "The API key is missing or wrong. Send it in the header x-api-key.")

    # v2, documented

    def refine(self, code: str) -> Any:
        session = self._sessions.order_refine(code, parse_order(read_json_body(*_input())))
        self._refining.add(session)
        return _answer(200, "Generating Mesh", responses.queue_record(session))

    def preview(self, code: str) -> Any:
        parse_order(read_json_body(*_input()))  # validated only: the preview is the uploaded mesh
        return _answer(200, "Generating Preview Mesh", self._data(self._sessions.back_to_preview(code)))

    def session(self, code: str) -> Any:
        return _answer(200, "Retrieved", self._data(self._sessions.find(code)))

    def listing(self) -> Any:
        limit, page = _query_number("limit", 10, MAX_LIST), _query_number("page", 1, 10**9)
        found, total = self._sessions.newest(limit, max(0, page - 1) * limit)
        data = {"results": [self._data(session) for session in found], "total": total, "limit": limit, "page": page}
        return _answer(200, "Retrieved", data)

    def meshes(self, code: str) -> Any:
        session = self._sessions.find(code)
        urls = self._mesh_urls(session)
        version = self._blend_version(session)
        found = [{"session_code": code, **responses.mesh_urls(urls, version)}] if urls else []
        return _answer(200, "Retrieved", found)

    def create_from_image(self) -> Any:
        raise InputError(_NO_IMAGE_MODEL)

    def userdata(self) -> Any:
        return _answer(200, "Retrieved", {"tier": "local", "user_id": responses.ANONYMOUS, "username": "local"})

    def session_v3(self, code: str) -> Any:
        session = self._sessions.find(code)
        return _json(200, responses.session_v3(session, self._percent(session), self._mesh_urls(session)))

    # Ours

    def create_from_mesh(self) -> Any:
        """Create a session at ``preview_done`` from the mesh file in the body."""
        with self._uploads.receive(*_input()) as mesh:
            kind = mesh_files.check(mesh, allow_blend=True)
            session = self._sessions.create(mesh, kind, losses(mesh, kind))
        log.info("%s: created", session.code)
        return _answer(201, "Created", self._data(session))

    def cancel(self, code: str) -> Any:
        return _answer(200, "Cancelled", self._data(self._refining.cancel(code)))

    def delete(self, code: str) -> Any:
        self._refining.delete(code)
        log.info("%s: deleted", code)
        return _answer(200, "Deleted", {})

    def info(self) -> Any:
        running, waiting = self._refining.counts()
        data = {
            "version": API_VERSION,
            "input_formats": sorted(MeshKind),
            "formats": ["glb", "obj", "zip", "fbx", "usdz", "blend"],
            "running": running,
            "waiting": waiting,
            "users": self._users.count(),
        }
        return _answer(200, "Retrieved", data)

    def prove_key(self) -> Any:
        """Answer a challenge; on loopback without the key, because clients verify the service before they send it."""
        challenge = bottle.request.query.get("challenge", "")
        if not is_challenge(challenge):
            raise InputError("A challenge has 64 hexadecimal digits.", "Take 32 random bytes.")
        return _answer(200, "Proved", {"proof": proof(self._key, challenge, self._hosts.url)})

    def acquire_lease(self, user: str) -> Any:
        self._users.acquire(_checked_user(user))
        return _answer(200, "Held", {})

    def release_lease(self, user: str) -> Any:
        self._users.release(_checked_user(user))
        return _answer(200, "Let go", {})

    def _data(self, session: Session) -> dict[str, Any]:
        preview = {session.original.rpartition(".")[2]: self._url(session, "original", session.original)}
        picture = self._url(session, session.result, PICTURE) if self._has_picture(session) else ""
        percent, urls, version = self._percent(session), self._mesh_urls(session), self._blend_version(session)
        step = self._refining.step(session) if session.stage is Stage.TRAINING_REFINE else None
        return responses.session_data(session, percent, urls, preview, picture, version, step)

    def _has_picture(self, session: Session) -> bool:
        return session.stage is Stage.REFINE_DONE and self._sessions.result_file(session, PICTURE).is_file()

    def _percent(self, session: Session) -> int:
        if session.stage is Stage.REFINE_DONE:
            return 100
        return self._refining.percent(session) if session.stage is not Stage.PREVIEW_DONE else 0

    def _mesh_urls(self, session: Session) -> dict[str, str]:
        """Return the refined mesh's URLs; empty during a refine, so that clients do not load the previous result."""
        if session.stage is not Stage.REFINE_DONE:
            return {}
        return {kind: self._url(session, session.result, f"mesh.{kind}") for kind in session.formats}

    def _blend_version(self, session: Session) -> tuple[int, ...]:
        """Return the version of the Blender that wrote the result's .blend; empty if there is none."""
        if session.stage is not Stage.REFINE_DONE or MeshKind.BLEND not in session.formats:
            return ()
        with contextlib.suppress(MeshUnusable):  # a later refine may have replaced the file
            return blend_files.version(self._sessions.result_file(session, "mesh.blend"))
        return ()

    def _url(self, session: Session, folder: str, name: str) -> str:
        host = host_name(bottle.request.get_header("Host", ""))
        return self._links.url(host, f"/{session.code}/{folder}/{name}")


def _in_envelope(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Convert exceptions to error responses; log each request without its query."""

    def handle(**arguments: str) -> Any:
        started = time.monotonic()
        try:
            answer = handler(**arguments)
        except CsmError as error:
            status = _STATUS_OF_ERROR.get(type(error), 400 if isinstance(error, InputError | MeshUnusable) else 500)
            answer = _failure(status, str(error))
        except (OSError, sqlite3.Error) as error:
            answer = _storage_failure(error)
        _note(answer.status_code, time.monotonic() - started)
        return answer

    return handle


def _storage_failure(error: OSError | sqlite3.Error) -> Any:
    """Return the response to a disk or database error; raise any other error again."""
    sentence = disk_errors.sentence(error)
    if not sentence and not recovery.is_damage(error):
        raise error
    log.error("a request failed", exc_info=error)
    if sentence:
        return _failure(507, sentence)
    return _failure(500, "The database of sessions is damaged. Restart the service, which keeps what can be read.")


def _json(status: int, document: Any) -> Any:
    return bottle.HTTPResponse(json.dumps(document), status, {"Content-Type": "application/json", **_HEADERS})


def _answer(status: int, message: str, data: Any) -> Any:
    return _json(status, responses.envelope(status, message, data))


def _failure(status: int, sentence: str) -> Any:
    return _json(status, responses.envelope(status, sentence, {}, error=HTTPStatus(status).phrase))


def _refused(status: int, sentence: str) -> Any:
    """Return an error response without a Content-Length, which makes Waitress close the connection."""
    _note(status, 0.0)
    refusal = _failure(status, sentence)
    refusal.body = iter([refusal.body.encode()])
    return refusal


def _note(status: int, seconds: float) -> None:
    """Log a request without its query; the path is truncated to 100 characters."""
    log.info("%s %s %d %.3f s", bottle.request.method, ascii(bottle.request.path[:100]), status, seconds)


def _error_page(error: Any) -> str:
    """Return the envelope for Bottle's own errors: unknown route, method not allowed, unhandled exception."""
    bottle.response.content_type = "application/json"
    for name, value in _HEADERS.items():
        bottle.response.set_header(name, value)
    if error.exception is not None:
        log.error("a request failed", exc_info=error.exception)
    sentences = {404: "There is no such address here.", 405: "This address does not take this method."}
    sentence = sentences.get(error.status_code, "The service failed on this request; its log tells why.")
    reason = HTTPStatus(error.status_code).phrase
    return json.dumps(responses.envelope(error.status_code, sentence, {}, error=reason))


def _input() -> tuple[Any, int]:
    """Return the body and its length, which Waitress has counted if the request has no Content-Length."""
    return bottle.request.environ["wsgi.input"], max(0, bottle.request.content_length)


def _query_number(name: str, default: int, greatest: int) -> int:
    text = bottle.request.query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise InputError(f"{name} must be a number.", "Leave it out for the default.")
    return min(greatest, int(text))


def _checked_user(user: str) -> str:
    if not _USER.fullmatch(user):
        raise InputError("A user's name has up to 64 letters, digits, dots, dashes.", "Choose another.")
    return user
