"""The HTTP client: submit, read a session, download. One attempt per call; when to try again is ``flow``'s to say.

Every exception of ``requests`` is translated here, once, into a ``CsmError`` whose text holds no URL, since a mesh
URL is a credential. The key goes to the service's own host only: redirects of API calls are refused.
"""

from __future__ import annotations

import email.utils
import functools
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ParamSpec, TypeVar

from . import errors, wire
from .checks import is_loopback
from .models import RefineRequest, Secret

if TYPE_CHECKING:
    import requests

ANSWER_LIMIT_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
IMAGE_LIMIT_BYTES = 5 * 1024 * 1024
_SESSIONS = "/image-to-3d-sessions"
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Unanswered(Exception):
    """A submission left and no usable answer came: whether it was taken is not known."""


class NotConnected(errors.ServiceUnreachable):
    """No connection came about, so nothing can have arrived."""


class SignatureExpired(errors.ServiceUnreachable):
    """The storage refuses the mesh's address (403, 404): the session knows a new one."""


@dataclass(frozen=True, slots=True)
class _Answer:
    reply: wire.Reply
    retry_after_s: float | None

    @property
    def says_not_taken(self) -> bool:
        """Whether the service itself says that it did not take the request (a bare 400 is its rate limit, too)."""
        status = self.reply.status
        return (
            status == 429
            or (status == 503 and self.retry_after_s is not None)
            or (status == 400 and not self.reply.text)
        )


def _translated(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Turn what ``requests`` raises in ``call`` into a ServiceUnreachable with no URL in it or in its causes."""

    @functools.wraps(call)
    def translating(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        import requests

        try:
            return call(*args, **kwargs)
        except requests.exceptions.RequestException as error:
            failure = _unreachable(error)
        raise failure  # out here: an exception keeps the one that it was raised in, and that one's text has the URL

    return translating


def _unreachable(error: requests.exceptions.RequestException) -> errors.ServiceUnreachable:
    """NotConnected is only what surely happened before a request left: a POST is repeated on the strength of it."""
    import requests
    import urllib3

    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError | ssl.CertificateError) for cause in causes):
        return NotConnected(
            "The service's certificate cannot be trusted.",
            "Check the address; behind a company proxy, name its certificate in REQUESTS_CA_BUNDLE.",
        )
    never_left = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        requests.exceptions.InvalidURL,
    )
    kind = NotConnected if any(isinstance(cause, never_left) for cause in causes) else errors.ServiceUnreachable
    if isinstance(error, requests.exceptions.ProxyError):
        return kind("The proxy cannot be reached or refuses.", "Check the proxy settings.")
    if kind is NotConnected:
        return kind("The service cannot be reached.", "Check the network and the service's address.")
    if isinstance(error, requests.exceptions.Timeout):
        return kind("The service does not answer in time.", "Check the network; try again.")
    return kind("The connection to the service broke off.", "Check the network; try again.")


def _causes(error: object) -> Iterator[object]:
    """Yield an error and those that ``requests`` and urllib3 have wrapped into it."""
    yield error
    inside = [getattr(error, "reason", None), getattr(error, "original_error", None), *getattr(error, "args", ())]
    for cause in inside:
        if isinstance(cause, Exception):
            yield from _causes(cause)


class Client:
    """The API of one service, with one key.

    ``is_online`` is asked before each request that leaves this machine. ``timeout_s`` bounds connecting and each
    pause between two pieces of an answer.
    """

    def __init__(self, base_url: str, key: Secret, *, is_online: Callable[[], bool], timeout_s: float = 30.0) -> None:
        self._base_url = base_url
        self._key = key
        self._is_online = is_online
        self._timeout_s = timeout_s
        self._http = _http_session(self._require_online)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._http.close()

    def read_session(self, code: str) -> wire.Session:
        """Return the session. Raises SessionUnknown, KeyRefused, ServiceUnreachable, BlenderOffline."""
        return wire.read_session(self._ask("GET", f"{_SESSIONS}/{code}"))

    def list_sessions(self, page: int | None, limit: int) -> wire.SessionPage:
        """Return a page of the account's sessions; without a number the first one, which some count as 0, some as 1.

        Raises as :meth:`read_session`.
        """
        number = "" if page is None else f"&page={page}"
        return wire.read_sessions(self._ask("GET", f"{_SESSIONS}?limit={limit}{number}"))

    def submit(self, request: RefineRequest) -> wire.RefineAck:
        """Send one refine.

        Raises Unanswered where it may have arrived without a clear answer; NotConnected or ServiceBusy where it
        surely was not taken; BlenderOffline before anything is sent; any other CsmError where the service refused.
        """
        self._http.close()  # on a connection that the service is about to close, nobody knows whether a POST arrived
        path = f"{_SESSIONS}/get-3d/refine/{request.session_code}"
        try:
            answer = self._exchange("POST", path, json=wire.refine_body(request))
        except NotConnected:
            raise
        except errors.ServiceUnreachable:
            raise Unanswered from None
        reply = answer.reply
        if reply.is_good and isinstance(reply.data, dict):
            return wire.read_refine(reply)
        is_refusal = 300 <= reply.status < 500
        if not is_refusal and not answer.says_not_taken:
            raise Unanswered
        raise _refusal(answer)

    def create_session(self, mesh: Path) -> wire.Session:
        """Make a session out of a mesh file (GLB, OBJ, zip of OBJ): only the local service can."""
        with mesh.open("rb") as body:
            return wire.read_session(self._ask("POST", "/local/sessions", body=body))

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
        """Bring the mesh into the file ``part``, going on where it ends if the storage still has the same file.

        ``on_progress`` gets the bytes there and in all (None: not said); an exception out of it ends the download.
        No key is sent. Raises SignatureExpired, ServiceUnreachable, BlenderOffline.
        """
        tag_file = part.with_name(part.name + ".etag")
        rest = _resume_headers(part, tag_file)
        done, total = self._fetch(url, part, tag_file, rest, on_progress)
        if total is not None and done != total:
            raise errors.ServiceUnreachable("The download of the mesh was cut off.", "It is taken up again.")
        tag_file.unlink()

    @_translated
    def _fetch(
        self,
        url: Secret,
        part: Path,
        tag_file: Path,
        rest: dict[str, str],
        on_progress: Callable[[int, int | None], None],
    ) -> tuple[int, int | None]:
        """Write what the storage sends to ``part``; return the bytes that are there, and in all if it is said."""
        headers = {"Accept-Encoding": "identity", **rest}  # a range counts the bytes as they are sent
        with self._http.get(url.reveal(), headers=headers, stream=True, timeout=self._timeout_s) as answer:
            goes_on = _goes_on(answer, rest, tag_file)
            if not goes_on:
                tag_file.write_text(_strong_tag(answer), encoding="utf-8")
            with part.open("ab" if goes_on else "wb") as target:
                done = target.tell()
                total = _total_bytes(answer, done)
                on_progress(done, total)
                for chunk in answer.iter_content(CHUNK_BYTES):
                    done += target.write(chunk)
                    on_progress(done, total)
        return done, total

    @_translated
    def image(self, url: Secret, limit_bytes: int = IMAGE_LIMIT_BYTES) -> bytes:
        """Return a session's picture, whatever it is. No key is sent.

        Raises ServiceUnreachable (also where it is too large or takes too long) and BlenderOffline.
        """
        pieces, size, ends_at = [], 0, time.monotonic() + self._timeout_s
        with self._http.get(url.reveal(), stream=True, timeout=self._timeout_s) as answer:
            for piece in answer.iter_content(CHUNK_BYTES) if answer.status_code == 200 else ():
                pieces.append(piece)
                size += len(piece)
                if size > limit_bytes or time.monotonic() > ends_at:
                    raise errors.ServiceUnreachable("The session's picture is too large or too slow.")
        if not size:
            raise errors.ServiceUnreachable(f"The session's picture is not there ({answer.status_code}).")
        return b"".join(pieces)

    def require_online(self) -> None:
        """Raise BlenderOffline where the service is another machine and Blender's online access is off."""
        self._require_online(self._base_url)

    def _require_online(self, url: str) -> None:
        if not is_loopback(url) and not self._is_online():
            raise errors.BlenderOffline(
                "Blender is offline.",
                "Allow online access in the preferences under System, or start Blender with --online-mode.",
            )

    def _ask(self, method: str, path: str, *, json: object = None, body: BinaryIO | None = None) -> wire.Reply:
        answer = self._exchange(method, path, json=json, body=body)
        if not answer.reply.is_good:
            raise _refusal(answer)
        return answer.reply

    @_translated
    def _exchange(self, method: str, path: str, *, json: object = None, body: BinaryIO | None = None) -> _Answer:
        headers = {"x-api-key": self._key.reveal(), "Accept": "application/json"}
        with self._http.request(
            method,
            self._base_url + path,
            headers=headers,
            json=json,
            data=body,
            timeout=self._timeout_s,
            allow_redirects=False,
            stream=True,
        ) as answer:
            reply = wire.read_reply(answer.status_code, _read_limited(answer), hidden=self._key)
            return _Answer(reply, _retry_after_s(answer.headers.get("Retry-After")))


def _http_session(require_online: Callable[[str], None]) -> requests.Session:
    """Return a session that asks ``require_online`` before each request, redirects included, and repeats none."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
            url = request.url or ""
            require_online(url)
            if is_loopback(url):
                options["proxies"] = None  # a proxy has its own loopback, and would see the local service's key
            return super().send(request, *args, **options)

    session = requests.Session()
    session.mount("https://", Adapter(max_retries=0))
    session.mount("http://", Adapter(max_retries=0))
    return session


def _refusal(answer: _Answer) -> errors.CsmError:
    """Return what an answer that is not 2xx means to the user, with the service's own words."""
    reply = answer.reply
    status = reply.status
    said = f" It says: {reply.text.rstrip('.')}." if reply.text else ""
    if answer.says_not_taken:
        return errors.ServiceBusy(f"The service is busy ({status}).{said}", "It is tried again.", answer.retry_after_s)
    if 300 <= status < 400:
        return errors.InputError("The service sends us to another address.", "Give that address as the service.")
    if status >= 500:
        return errors.ServiceUnreachable(f"The service has a failure of its own ({status}).{said}", "Try again later.")
    kind, sentence, action = _REFUSALS.get(
        status, (errors.RefineFailed, "The service refuses the request ({}).", "Mend what it says, then retry.")
    )
    return kind(sentence.format(status) + said, action)


_KEY_REFUSED = (errors.KeyRefused, "The service refuses the API key ({}).", "Check the key, or make a new one.")
_REFUSALS: dict[int, tuple[type[errors.CsmError], str, str]] = {
    401: _KEY_REFUSED,
    402: (errors.OutOfCredits, "The account has no credits left ({}).", "Buy credits, then retry."),
    403: _KEY_REFUSED,
    404: (errors.SessionUnknown, "The service knows no such session ({}).", "Check the code and the service."),
    409: (errors.SessionNotRefinable, "The session cannot be refined now ({}).", "Wait, then retry."),
}


def _goes_on(answer: requests.Response, rest: dict[str, str], tag_file: Path) -> bool:
    """Tell whether the answer is the rest of the file that was asked for, not the whole; raise where it is neither.

    Some storages know ``Range`` but not ``If-Range``, and send the rest of another file.
    """
    status = answer.status_code
    if status == 200:
        return False
    if status in (401, 403, 404, 410):
        raise SignatureExpired(f"The mesh's address is no longer valid ({status}).", "The session is read again.")
    if status not in (206, 416):
        raise errors.ServiceUnreachable(f"The mesh's storage answers {status}.", "It is tried again.")
    same_file = answer.headers.get("ETag") in (None, rest.get("If-Range"))
    asked_from = rest.get("Range", "").removeprefix("bytes=")
    if (
        status == 206
        and same_file
        and asked_from
        and answer.headers.get("Content-Range", "").startswith(f"bytes {asked_from}")
    ):
        return True
    tag_file.unlink(missing_ok=True)
    raise errors.ServiceUnreachable("The mesh's storage has another file now.", "It is fetched from the beginning.")


def _strong_tag(answer: requests.Response) -> str:
    """Return the ETag if byte ranges of this answer can be put together under it, else nothing."""
    tag = answer.headers.get("ETag", "")
    encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
    return "" if encoded or tag.startswith("W/") else tag


def _resume_headers(part: Path, tag_file: Path) -> dict[str, str]:
    """Ask for the rest of a cut download, if the file is still the one that it was (RFC 9110, 13.1.5)."""
    if not part.exists() or not tag_file.exists() or not part.stat().st_size:
        return {}
    tag = tag_file.read_text(encoding="utf-8")
    if not tag:
        return {}
    return {"Range": f"bytes={part.stat().st_size}-", "If-Range": tag}


def _total_bytes(answer: requests.Response, start: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
    return start + int(length) if length.isdecimal() and not encoded else None


def _read_limited(answer: requests.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in answer.iter_content(CHUNK_BYTES):
        size += len(piece)
        if size > ANSWER_LIMIT_BYTES:
            raise errors.ServiceUnreachable("The service's answer is far too long.", "Check the service's address.")
        pieces.append(piece)
    return b"".join(pieces)


def _retry_after_s(header: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or an HTTP date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
