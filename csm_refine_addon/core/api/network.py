"""Connections: where one may lead, how slow an answer may be, and what a failure means. The only user of requests.

Every exception of ``requests`` is translated here, once, into a ``CsmError`` whose text holds no URL, since a mesh
URL is a credential. Certificates are verified with the system's settings (``REQUESTS_CA_BUNDLE``), and its proxies
are used (``HTTPS_PROXY``, ``NO_PROXY``), but for this machine itself; ``.netrc`` is not read.
"""

from __future__ import annotations

import functools
import http.client
import io
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .. import errors
from ..addresses import Address, parse

if TYPE_CHECKING:
    import requests

LEAST_BYTES_PER_S = 1024
WINDOW_S = 60.0
"""Over this long, or two time-outs, an answer must come at the least rate: a time-out alone bounds each byte only."""
PIECE_BYTES = 64 * 1024
PACKED_PIECE_BYTES = 8 * 1024
"""Of a compressed answer: urllib3 before 2.6 unpacks a piece to its end, up to a thousand times as large."""
PACKINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""One layer only, as several multiply."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class NotConnected(errors.ServiceUnreachable):
    """No connection came about, so nothing can have arrived."""


def translated(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Turn what ``requests`` raises in ``call`` into a ServiceUnreachable with no URL in it or in its causes."""

    @functools.wraps(call)
    def translating(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        import requests
        import urllib3

        try:
            return call(*args, **kwargs)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            failure = unreachable(error)
        raise failure  # out here: an exception keeps the one that it was raised in, and that one's text has the URL

    return translating


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


def ask(http: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
    """Send one request and return its answer, to be read in pieces. Raises what :func:`translated` knows."""
    import requests

    try:
        return http.request(method, url, stream=True, **options)
    except requests.exceptions.RequestException:
        raise
    except OSError:  # said before any connection, and with no class of its own
        raise NotConnected(
            "The file of trusted certificates that this machine's settings name cannot be found.",
            "Correct REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE), or take it away.",
        ) from None
    except ValueError:  # a redirect to something that urllib.parse cannot read
        raise requests.exceptions.InvalidSchema from None


def pieces(answer: requests.Response) -> Iterator[bytes]:
    """Yield an answer's body, unpacked, in pieces of bounded size. Raises ServiceUnreachable for an odd packing."""
    packing = answer.headers.get("Content-Encoding", "").strip().lower()
    if packing not in PACKINGS:
        raise errors.ServiceUnreachable(
            "The service's answer is packed in a way that nobody asked for.", "Check the service's address."
        )
    if packing not in ("", "identity"):
        yield from answer.iter_content(PACKED_PIECE_BYTES)
    elif not hasattr(answer.raw, "read1"):  # urllib3 1
        yield from answer.iter_content(PIECE_BYTES)
    else:
        while piece := answer.raw.read1(PIECE_BYTES):  # what is there; a piece that is waited for is lost at a cut
            yield piece


class PacedReader(io.RawIOBase):
    """What comes out of a connection, as long as it comes at the least rate over each window of *waiting* for it.

    The time that the caller takes between two reads does not count. Raises ServiceUnreachable.
    """

    def __init__(self, source: io.RawIOBase, clock: Callable[[], float], window_s: float) -> None:
        super().__init__()
        self._source = source
        self._clock = clock
        self._window_s = window_s
        self._waited_s = 0.0
        self._came = 0

    def readable(self) -> bool:
        """As the source."""
        return True

    def fileno(self) -> int:
        """As the source."""
        return self._source.fileno()

    def close(self) -> None:
        """Close the source, too."""
        self._source.close()
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there, as the source does."""
        began = self._clock()
        count = self._source.readinto(buffer)
        self._waited_s += self._clock() - began
        self._came += count or 0
        if count and self._waited_s >= self._window_s:
            if self._came < LEAST_BYTES_PER_S * self._waited_s:
                raise errors.ServiceUnreachable("The service answers far too slowly.", "Check the network; try again.")
            self._waited_s, self._came = 0.0, 0
        return int(count) if count is not None else None


def open_session(
    allow: Callable[[Address], None], *, clock: Callable[[], float], window_s: float = WINDOW_S
) -> requests.Session:
    """Return a session that asks ``allow`` before each request, redirects included, and repeats none.

    ``allow`` gets the address and raises where it must not be asked. ``clock`` is monotonic, in seconds.
    """
    import requests
    from requests.adapters import HTTPAdapter

    class Response(http.client.HTTPResponse):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            raw: Any = self.fp.detach()
            self.fp = io.BufferedReader(PacedReader(raw, clock, window_s))

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            _answer_with(Response, self.poolmanager)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            is_new = proxy not in self.proxy_manager
            manager = super().proxy_manager_for(proxy, **options)
            if is_new:
                _answer_with(Response, manager)
            return manager

        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
            url = request.url or ""
            address = _address(url)
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


def _answer_with(response: type[http.client.HTTPResponse], manager: Any) -> None:
    """Have a pool manager's connections read their answers through ``response``.

    https://urllib3.readthedocs.io/en/stable/advanced-usage.html: a pool's ``ConnectionCls`` is there to be replaced.
    """
    manager.pool_classes_by_scheme = {
        scheme: type(
            pool.__name__,
            (pool,),
            {"ConnectionCls": type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": response})},
        )
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }
