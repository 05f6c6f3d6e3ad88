"""Who may ask: the right key, under the service's own name, and no web page.

A page in the user's browser can send requests to loopback; so the Host header is compared with our own names (DNS
rebinding), and a request that a page has sent is refused, a preflight included: no answer allows an origin anything.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from ..core.addresses import is_loopback_host
from ..core.models import Secret

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(?::\d{1,5})?", re.ASCII)


def is_loopback(host: str) -> bool:
    """Tell whether ``host``, a name or an address to listen on, is reached from this machine alone."""
    return is_loopback_host(host.strip("[]").lower())


class HostCheck:
    """Compares Host headers with the names of a server on ``host`` and ``port``.

    On another address than loopback each name is good: only its owner knows what it is called, and the key is needed.
    """

    def __init__(self, host: str, port: int) -> None:
        self.is_loopback = is_loopback(host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        """The base URL of the server."""
        names = {host.lower(), f"[{host}]", "127.0.0.1", "localhost", "[::1]"}
        self._allowed = {f"{name}:{port}" for name in names}

    def allows(self, header: str) -> bool:
        """Tell whether a request with this Host header is meant for this service."""
        return header.lower() in self._allowed if self.is_loopback else bool(host_name(header))


def host_name(header: str) -> str:
    """Return the name or address in a Host header, without its port; empty where there is none."""
    found = _HOST.fullmatch(header)
    return found[1] if found else ""


def is_from_a_page(environ: Mapping[str, str]) -> bool:
    """Tell whether a web page has sent a request, by the headers that a page cannot take away (Fetch standard).

    What the user types into the browser's address line is no page's: ``Sec-Fetch-Site: none``.
    """
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_REFERER"):
        return True
    return environ.get("HTTP_SEC_FETCH_SITE", "none").lower() != "none"


def holds_key(key: Secret, given: str) -> bool:
    """Tell whether the given key is the service's, in constant time."""
    return hmac.compare_digest(key.reveal().encode(), given.encode("utf-8", "surrogateescape"))
