"""Request checks: API key, Host header, and rejection of requests from web pages.

A web page in the user's browser can send requests to loopback. So the Host header must name this server (against DNS
rebinding), and requests that a page sent are refused, CORS preflights included; no response has CORS headers.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from ..core.addresses import is_loopback_host
from ..core.models import Secret

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(?::\d{1,5})?", re.ASCII)


def is_loopback(host: str) -> bool:
    """Return whether ``host``, a name or address to listen on, is a loopback address."""
    return is_loopback_host(host.strip("[]").lower())


class HostCheck:
    """Checks Host headers for a server on ``host`` and ``port``.

    On a non-loopback address every valid name is accepted: the server's DNS names are not known here, and every
    request needs the key.
    """

    def __init__(self, host: str, port: int) -> None:
        self.is_loopback = is_loopback(host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        """The base URL of the server."""
        names = {host.lower(), f"[{host}]", "127.0.0.1", "localhost", "[::1]"}
        self._allowed = {f"{name}:{port}" for name in names}

    def allows(self, header: str) -> bool:
        """Return whether this Host header is accepted."""
        return header.lower() in self._allowed if self.is_loopback else bool(host_name(header))


def host_name(header: str) -> str:
    """Return the name or address in a Host header, without the port; empty if the header is not valid."""
    found = _HOST.fullmatch(header)
    return found[1] if found else ""


def is_from_web_page(environ: Mapping[str, str]) -> bool:
    """Return whether a web page sent the request, by headers that a page cannot remove (Fetch standard).

    A URL that the user typed into the address bar does not count: its request has ``Sec-Fetch-Site: none``.
    """
    if "HTTP_ORIGIN" in environ or environ.get("HTTP_REFERER"):
        return True
    return environ.get("HTTP_SEC_FETCH_SITE", "none").lower() != "none"


def is_valid_key(key: Secret, given: str) -> bool:
    """Compare a request's key with the service's in constant time."""
    return hmac.compare_digest(key.reveal().encode(), given.encode("utf-8", "surrogateescape"))
