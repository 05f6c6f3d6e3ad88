"""The HTTP client: submit, read a session, download. One attempt per call; the state machine decides on retries.

The key goes to the service's own host only: redirects of API calls are refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import addresses, errors
from ..models import RefineRequest, Secret
from ..validation import session_code
from . import csm_schema, downloads, key_proof, retry_after, transport
from .transport import NotConnected

if TYPE_CHECKING:
    import requests

ANSWER_LIMIT_BYTES = 8 * 1024 * 1024
NO_ROOM = 507
UPLOAD_BYTES_PER_S = 10_000
"""The rate that the time for an upload is reckoned with, as the local service does."""
_SESSIONS = "/image-to-3d-sessions"


class Unanswered(Exception):
    """A submission left and no usable answer came: whether it was taken is not known."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    reply: csm_schema.Reply
    retry_after_s: float | None

    @property
    def is_busy(self) -> bool:
        """Whether the service asks to be asked later (a 400 without a text is its rate limit, too)."""
        status = self.reply.status
        return (
            status == 429
            or (status == 503 and (self.retry_after_s is not None or self.reply.is_envelope))
            or (status == 400 and not self.reply.text)
        )


class Client:
    """The API of one service, with one key.

    ``is_online`` is asked before each request that leaves this machine. ``timeout_s`` bounds connecting and each
    pause between two pieces of an answer; twice that is what a whole request may take, and a download without the
    least rate. ``ends_at`` (monotonic) bounds all requests. With ``needs_proof`` the key is sent only after the
    service has proved that it has it. Raises InputError where ``base_url`` is no usable address.
    """

    def __init__(
        self,
        base_url: str,
        key: Secret,
        *,
        is_online: Callable[[], bool],
        timeout_s: float = 30.0,
        ends_at: float = math.inf,
        needs_proof: bool = False,
    ) -> None:
        self._base_url = base_url
        self._address = addresses.parse(base_url)
        self._needs_proof = needs_proof
        self._key = key
        self._is_online = is_online
        self._timeout_s = timeout_s
        self._window_s = 2 * timeout_s
        self._http = transport.Transport(self._allow, ends_at)

    def close(self) -> None:
        """Close the connections that are open."""
        self._http.close()

    def read_session(self, code: str) -> csm_schema.Session:
        """Return the session. Raises SessionUnknown, KeyRefused, ServiceUnreachable, BlenderOffline."""
        return csm_schema.read_session(self._ask("GET", f"{_SESSIONS}/{code}"))

    def list_sessions(self, page: int | None, limit: int) -> csm_schema.SessionPage:
        """Return a page of the account's sessions; without a number the first one, which some count as 0, some as 1.

        Raises as :meth:`read_session`.
        """
        number = "" if page is None else f"&page={page}"
        return csm_schema.read_sessions(self._ask("GET", f"{_SESSIONS}?limit={limit}{number}"))

    def submit(self, request: RefineRequest) -> csm_schema.RefineAck:
        """Send one refine.

        Raises NotConnected and BlenderOffline where it did not leave; ServiceBusy, and any other CsmError, where the
        API itself says that it did not take it; Unanswered in every other case: whatever stands between may answer
        after the service has taken it.
        """
        path = f"{_SESSIONS}/get-3d/refine/{request.session_code}"
        try:
            answer = self._exchange("POST", path, json=csm_schema.refine_body(request))
        except NotConnected:
            raise
        except errors.ServiceUnreachable:
            raise Unanswered from None
        reply = answer.reply
        if reply.is_good and isinstance(reply.data, dict):
            return csm_schema.read_refine(reply)
        if not reply.says_not_taken and not self._has_no_room(reply):
            raise Unanswered
        raise _refusal(answer, reads=False)

    def create_session(self, mesh: Path) -> csm_schema.Session:
        """Make a session out of a mesh file (GLB, OBJ, zip of OBJ): only the local service can.

        Raises InputError where it does not take the file; else as :meth:`read_session`.
        """
        with mesh.open("rb") as body:
            answer = self._exchange("POST", "/local/sessions", body=body)
        if answer.reply.status in _MESH_REFUSALS and not answer.is_busy:
            sentence = _MESH_REFUSED.format(answer.reply.status) + _said(answer.reply)
            raise errors.InputError(sentence, "Mend what it says, or take another file.")
        if not answer.reply.is_good:
            raise _refusal(answer, reads=False)
        session = csm_schema.read_session(answer.reply)
        try:
            return dataclasses.replace(session, code=session_code(session.code))
        except errors.InputError:
            raise errors.ServiceUnreachable(
                "The service's answer holds no session code.", "Check the service's address; try again later."
            ) from None

    def delete_session(self, code: str) -> None:
        """Delete a session with its files, ending its refine: only the local service can.

        Raises InputError where ``code`` is none; else as :meth:`read_session`.
        """
        self._ask("DELETE", f"/local/sessions/{session_code(code)}")

    def cancel_refine(self, code: str) -> None:
        """End the refine of a session, running or waiting: only the local service can.

        Raises SessionNotRefinable where none is running, InputError where ``code`` is none; else as
        :meth:`read_session`.
        """
        self._ask("DELETE", f"/local/sessions/{session_code(code)}/refine")

    def check_key(self) -> None:
        """Ask for the account's data, which costs nothing: raises where address or key are not good."""
        self._ask("GET", "/user/userdata")

    def hold(self, user: str) -> None:
        """Tell a local service, started on demand, that ``user`` still needs it."""
        self._ask("PUT", f"/local/users/{user}", json={})

    def let_go(self, user: str) -> None:
        """Tell a local service that ``user`` needs it no longer."""
        self._ask("DELETE", f"/local/users/{user}")

    def download(self, url: Secret, part: Path, on_progress: Callable[[int, int | None], None]) -> None:
        """Bring the mesh into the file ``part``; see :class:`~.downloads.MeshDownload`."""
        with self._connected() as http:
            downloads.MeshDownload(http, self._timeout_s, self._window_s, part, on_progress).run(url)

    def image(self, url: Secret) -> bytes:
        """Return a session's picture, whatever it is. Raises ServiceUnreachable and BlenderOffline."""
        with self._connected() as http:
            return downloads.image(http, url, timeout_s=self._timeout_s)

    def require_online(self) -> None:
        """Raise BlenderOffline where the service is another machine and Blender's online access is off."""
        self._require_online(self._address)

    def _allow(self, address: addresses.Address) -> None:
        """Raise where an address may not be asked, wherever it came from."""
        self._require_online(address)
        if self._address.scheme == "https" and address.scheme != "https":
            raise errors.ServiceUnreachable(
                "The service leads from https to an address without: what comes from there could be read and changed.",
                "Tell whoever runs the service.",
            )

    def _require_online(self, address: addresses.Address) -> None:
        if not address.is_loopback and not self._is_online():
            raise errors.BlenderOffline(
                "Blender is offline.",
                "Allow online access in the preferences under System, or start Blender with --online-mode.",
            )

    def _ask(self, method: str, path: str, *, json: object = None) -> csm_schema.Reply:
        answer = self._exchange(method, path, json=json)
        if not answer.reply.is_good:
            raise _refusal(answer, reads=method == "GET")
        return answer.reply

    def _exchange(self, method: str, path: str, *, json: object = None, body: BinaryIO | None = None) -> _Answer:
        window_s = self._window_s + (os.fstat(body.fileno()).st_size / UPLOAD_BYTES_PER_S if body else 0.0)
        headers = {"x-api-key": self._key.reveal()}
        with self._connected() as http:
            if self._needs_proof:
                self._require_proof(http)
            return http.within(
                window_s,
                lambda: self._send(http, method, path, headers, json=json, data=body),
                may_connect=not self._needs_proof,
            )

    def _require_proof(self, http: transport.Transport) -> None:
        """Raise NotConnected unless the service proves that it has the key; the connection stays open."""
        challenge = key_proof.new_challenge()
        path = f"{key_proof.PATH}?challenge={challenge}"
        try:
            data = http.within(self._window_s, lambda: self._send(http, "GET", path, {})).reply.data
        except errors.ServiceUnreachable as error:
            raise NotConnected(error.message, error.action) from None
        said = data.get("proof") if isinstance(data, dict) else None
        if not isinstance(said, str) or not key_proof.is_proof(said, self._key, challenge, self._base_url):
            raise NotConnected(
                "Another program answers at the local service's address; the API key was not sent to it.",
                "Retry to start the local service again.",
            )

    def _send(self, http: transport.Transport, method: str, path: str, headers: dict[str, str], **body: Any) -> _Answer:
        headers = {**headers, "Accept": "application/json", "Accept-Encoding": "gzip"}
        options = {"headers": headers, **body, "timeout": self._timeout_s, "allow_redirects": False}
        with http.request(method, self._base_url + path, **options) as answer:
            content = _read_limited(http, answer)
            reply = csm_schema.read_reply(answer.status_code, content, hidden=self._key)
            return _Answer(reply, retry_after.seconds(answer.headers, time.time()))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[transport.Transport]:
        """Keep no connection until the next request.

        On one that the service is about to close, nobody knows whether a POST arrived; and a hundred jobs that keep
        theirs are as many as the local service takes: it would not answer any more.
        """
        try:
            yield self._http
        finally:
            self._http.close()

    def _has_no_room(self, reply: csm_schema.Reply) -> bool:
        """Return whether a local service says that it could not store the request, which it has not taken then."""
        return reply.is_envelope and reply.status == NO_ROOM and self._address.is_loopback


def _read_limited(http: transport.Transport, answer: requests.Response) -> bytes:
    content = bytearray()
    for piece in http.pieces(answer):
        content += piece
        if len(content) > ANSWER_LIMIT_BYTES:
            raise errors.ServiceUnreachable("The service's answer is far too long.", "Check the service's address.")
    return bytes(content)


def _refusal(answer: _Answer, *, reads: bool) -> errors.CsmError:
    """Return what an answer that is not 2xx means to the user, with the service's own words.

    What refuses to be read in an unknown way says nothing of the refine: it is only out of reach.
    """
    reply = answer.reply
    status = reply.status
    said = _said(reply)
    if answer.is_busy:
        return errors.ServiceBusy(f"The service is busy ({status}).{said}", errors.LATER, answer.retry_after_s)
    if status == 407:
        return NotConnected(f"The proxy in between wants a password ({status}).", "Check the proxy settings.")
    if 300 <= status < 400:
        return errors.ServiceMoved("The service sends us to another address.", "Give that address as the service.")
    if status == NO_ROOM:
        return errors.StorageError(f"The service cannot store this ({status}).{said}", _NO_ROOM_ACTION)
    if status >= 500:
        return errors.ServiceUnreachable(f"The service has a failure of its own ({status}).{said}", errors.LATER)
    unknown = (errors.ServiceUnreachable, "The service refuses to answer ({}).", errors.LATER)
    refusal, sentence, action = _REFUSALS.get(status, unknown if reads else _REFINE_REFUSED)
    return refusal(sentence.format(status) + said, action)


def _said(reply: csm_schema.Reply) -> str:
    return f" It says: {reply.text.rstrip('.')}." if reply.text else ""


_NO_ROOM_ACTION = "Free disk space on the service's machine, then retry."
_MESH_REFUSALS = frozenset({400, 413, 415, 422})
_MESH_REFUSED = "The service does not take this mesh file ({})."
_REFINE_REFUSED = (errors.RefineFailed, "The service refuses the request ({}).", "Mend what it says, then retry.")
_KEY_REFUSED = (errors.KeyRefused, "The service refuses the API key ({}).", "Check the key, or make a new one.")
_REFUSALS: dict[int, tuple[type[errors.CsmError], str, str]] = {
    401: _KEY_REFUSED,
    402: (errors.OutOfCredits, "The account has no credits left ({}).", "Buy credits, then retry."),
    403: _KEY_REFUSED,
    404: (errors.SessionUnknown, "The service knows no such session ({}).", "Check the code and the service."),
    409: (errors.SessionNotRefinable, "The session cannot be refined now ({}).", "Wait, then retry."),
}
