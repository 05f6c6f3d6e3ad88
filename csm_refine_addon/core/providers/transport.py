"""HTTP transport: allowed hosts, a deadline for each request, mapping of failures to errors. The only user of requests.

Every exception of ``requests`` is translated here, once, into a ``CsmError`` whose text holds no URL, since a mesh
URL is a credential. Certificates are verified with the system's settings (``REQUESTS_CA_BUNDLE``), and its proxies
are used (``HTTPS_PROXY``, ``NO_PROXY``), but for this machine itself; ``.netrc`` is not read.
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from ..addresses import Address, parse

if TYPE_CHECKING:
    import requests

LEAST_BYTES_PER_S = 1024
"""A download may take as long as it likes, if it comes at this rate."""
LEAST_S = 2.0
"""What a request gets at least, also where the time of all is nearly over: its outcome would not be known."""
PIECE_BYTES = 64 * 1024
WAITED_PIECE_BYTES = 4 * 1024
"""Of urllib3 1, which waits for a whole piece: at the least rate it must come in time, and at a cut it is lost."""
PACKED_PIECE_BYTES = 8 * 1024
"""Of a compressed answer: urllib3 before 2.6 unpacks a piece to its end, up to a thousand times as large."""
PACKINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""One layer only, as several multiply."""
_Connect = Callable[[], socket.socket]
_T = TypeVar("_T")


class NotConnected(errors.ServiceUnreachable):
    """No connection came about, so nothing can have arrived."""


class Transport:
    """The connections of one client, for one thread at a time. Each use of them ends by a deadline, whatever arrives.

    At the deadline a thread shuts the connections down, so that whatever waits for them fails: a TLS handshake, a
    proxy, headers, a body. ``allow`` is called with each address before a request, redirects included, and raises
    where it must not be requested. ``ends_at`` (monotonic) bounds all requests together; each has LEAST_S at least, and
    a body that comes at the least rate goes on.
    """

    def __init__(self, allow: Callable[[Address], None], ends_at: float = math.inf) -> None:
        self._http = _session(allow, self._connected)
        self._all_end_at = ends_at
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        """Duplicates, which stay valid while TLS takes a socket over."""
        self._window_s = self._ends_at = 0.0
        self._came = 0
        self._has_passed = False
        self._may_connect = True

    def close(self) -> None:
        """Close the connections that are open."""
        self._http.close()
        with self._lock:
            while self._connections:
                self._connections.pop().close()

    def within(self, window_s: float, call: Callable[[], _T], *, may_connect: bool = True) -> _T:
        """Return what ``call`` returns, whose requests end after ``window_s``; :meth:`came` renews that time.

        What ``requests`` raises in it becomes a ServiceUnreachable with no URL in it or in its causes.
        Without ``may_connect`` it uses the connections that are open.
        """
        import requests
        import urllib3

        now = time.monotonic()
        self._window_s, self._ends_at = window_s, min(now + window_s, max(self._all_end_at, now + LEAST_S))
        self._came, self._has_passed, self._may_connect = 0, False, may_connect
        is_done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(is_done,), name="deadline", daemon=True)
        watch.start()
        try:
            return call()
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            failure = _too_slow() if self._has_passed and self._connections else unreachable(error)
        finally:
            is_done.set()
            watch.join()
        raise failure  # out here: an exception keeps the one that it was raised in, and that one's text has the URL

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send one request and return its answer, to be read in pieces. Raises what :meth:`within` translates."""
        import requests

        try:
            return self._http.request(method, url, stream=True, **options)
        except requests.exceptions.RequestException:
            raise
        except OSError:  # said before any connection, and with no class of its own
            raise NotConnected(
                "The file of trusted certificates that this machine's settings name cannot be found.",
                "Correct REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE), or take it away.",
            ) from None
        except ValueError:  # a redirect to something that urllib.parse cannot read
            raise requests.exceptions.InvalidSchema from None

    def pieces(self, answer: requests.Response) -> Iterator[bytes]:
        """Yield an answer's body, unpacked, in pieces of bounded size.

        Raises ServiceUnreachable for an odd packing, and where the deadline, not the answer, ended the body.
        """
        yield from _pieces(answer)
        if self._has_passed:
            raise _too_slow()

    def came(self, count: int) -> None:
        """Count bytes of a long body: each window's worth of them at the least rate renews the deadline."""
        self._came += count
        if self._came >= LEAST_BYTES_PER_S * self._window_s:
            self._came = 0
            self._ends_at = time.monotonic() + self._window_s

    def _watch(self, is_done: threading.Event) -> None:
        """Shut all connections down at the deadline."""
        while not is_done.wait(max(0.0, self._ends_at - time.monotonic())):
            with self._lock:
                if time.monotonic() < self._ends_at:
                    continue
                self._has_passed = True
                for connection in self._connections:
                    with contextlib.suppress(OSError):  # it has ended
                        connection.shutdown(socket.SHUT_RDWR)
                return

    def _connected(self, connect: _Connect) -> socket.socket:
        """Return a connection by the deadline.

        It is made on a thread, because looking a name up cannot be interrupted, and a name may have many addresses.
        One that comes too late is closed.
        """
        import urllib3

        if not self._may_connect:
            raise urllib3.exceptions.NewConnectionError(None, "closed")  # type: ignore[arg-type]
        made: list[socket.socket] = []
        failures: list[Exception] = []
        is_late = False

        def run() -> None:
            try:
                connection = connect()
            except Exception as error:  # noqa: BLE001 -- raised on the caller's thread
                failures.append(error)
                return
            with self._lock:
                made.append(connection)
                if is_late:
                    connection.close()

        thread = threading.Thread(target=run, name="connect", daemon=True)
        thread.start()
        thread.join(max(0.0, self._ends_at - time.monotonic()))
        if failures:
            raise failures[0]
        with self._lock:
            is_late = not made or time.monotonic() >= self._ends_at
            if not is_late:
                self._connections.append(made[0].dup())
                return made[0]
            for connection in made:
                connection.close()
        raise urllib3.exceptions.ConnectTimeoutError("deadline")


def _too_slow() -> errors.ServiceUnreachable:
    return errors.ServiceUnreachable("The service answers far too slowly.", "Check the network; try again.")


def unreachable(error: Exception) -> errors.ServiceUnreachable:
    """NotConnected is only what surely happened before a request left: a POST is repeated on the strength of it."""
    import requests

    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError | ssl.CertificateError) for cause in causes):
        return NotConnected(
            "The service's certificate cannot be trusted.",
            "Check the address; behind a company proxy, name its certificate in REQUESTS_CA_BUNDLE.",
        )
    kind = NotConnected if any(map(_never_left, causes)) else errors.ServiceUnreachable
    if isinstance(error, requests.exceptions.ProxyError):
        return kind("The proxy cannot be reached or refuses.", "Check the proxy settings.")
    if kind is NotConnected:
        return kind("The service cannot be reached.", "Check the network and the service's address.")
    if isinstance(error, requests.exceptions.TooManyRedirects | requests.exceptions.InvalidSchema):
        return kind("The service's storage sends us to an address that is none.", errors.LATER)
    if any(isinstance(cause, requests.exceptions.Timeout | TimeoutError) for cause in causes):
        return kind("The service does not answer in time.", "Check the network; try again.")
    return kind("The connection to the service broke off.", "Check the network; try again.")


def _never_left(cause: object) -> bool:
    """Tell whether this happens before a request is sent; a proxy refuses a tunnel in words only (http.client)."""
    import requests
    import urllib3

    kinds = (
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
        requests.exceptions.InvalidURL,
    )
    return isinstance(cause, kinds) or (isinstance(cause, OSError) and str(cause).startswith("Tunnel connection fail"))


def _causes(error: object) -> Iterator[object]:
    """Yield an error and those that ``requests`` and urllib3 have wrapped into it."""
    yield error
    inside = [getattr(error, "reason", None), getattr(error, "original_error", None), *getattr(error, "args", ())]
    for cause in inside:
        if isinstance(cause, Exception):
            yield from _causes(cause)


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    packing = answer.headers.get("Content-Encoding", "").strip().lower()
    if packing not in PACKINGS:
        raise errors.ServiceUnreachable(
            "The service's answer is packed in a way that nobody asked for.", "Check the service's address."
        )
    if packing not in ("", "identity"):
        yield from answer.iter_content(PACKED_PIECE_BYTES)
    elif not hasattr(answer.raw, "read1"):  # urllib3 1
        yield from answer.iter_content(WAITED_PIECE_BYTES)
    else:
        while piece := answer.raw.read1(PIECE_BYTES):  # what is there; a piece that is waited for is lost at a cut
            yield piece


def _session(allow: Callable[[Address], None], connected: Callable[[_Connect], socket.socket]) -> requests.Session:
    """Return a session that repeats no request, and makes each connection through ``connected``."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            _connect_through(connected, self.poolmanager)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            is_new = proxy not in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **options)
            if is_new:
                _connect_through(connected, manager)
            return manager

        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
            address = _address(request.url or "")
            allow(address)
            if address.is_loopback:
                options["proxies"] = None  # a proxy has its own loopback, and would see the local service's key
            return super().send(request, *args, **options)

    class Session(requests.Session):
        def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
            """Send no credentials along a redirect: requests would take some from ``.netrc``."""

    session = Session()
    session.auth = lambda request: request  # adds nothing: without it, requests reads ``.netrc``
    session.mount("https://", Adapter(max_retries=0))
    session.mount("http://", Adapter(max_retries=0))
    return session


def _address(url: str) -> Address:
    """Return the address of a URL, of which urllib3 reads the same host. Raises InvalidSchema."""
    import requests
    import urllib3

    try:
        address = parse(url)
    except errors.InputError:
        address = None
    if address is None or (urllib3.util.parse_url(url).host or "").strip("[]") != address.host:
        raise requests.exceptions.InvalidSchema
    return address


def _connect_through(connected: Callable[[_Connect], socket.socket], manager: Any) -> None:
    """Have a pool manager's connections made through ``connected``, before TLS and a proxy's tunnel.

    https://urllib3.readthedocs.io/en/stable/advanced-usage.html: a pool's ``ConnectionCls`` is there to be replaced;
    ``_new_conn`` is what urllib3's own kinds of connections (SOCKS) replace.
    """

    def kind_of(base: Any) -> type:
        class Connection(base):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                return connected(super()._new_conn)

        return Connection

    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": kind_of(pool.ConnectionCls)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
