"""Who may ask: the right key, under the service's own name, and no web page.

A page in the user's browser can send requests to loopback; so the Host header is compared with our own names (DNS
rebinding), and a request with an Origin header is refused.
"""

from __future__ import annotations

import hmac
import ipaddress

from ..core.models import Secret


def is_loopback(host: str) -> bool:
    """Tell whether ``host``, a name or an address to listen on, is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class HostCheck:
    """Compares Host headers with the names of a server on ``host`` and ``port``; on other addresses all are good."""

    def __init__(self, host: str, port: int) -> None:
        self._is_loopback = is_loopback(host)
        names = {host.lower(), f"[{host}]", "127.0.0.1", "localhost", "[::1]"}
        self._allowed = {f"{name}:{port}" for name in names}

    def allows(self, header: str) -> bool:
        """Tell whether a request with this Host header is meant for this service."""
        return not self._is_loopback or header.lower() in self._allowed


def holds_key(key: Secret, given: str) -> bool:
    """Tell whether the given key is the service's, in constant time."""
    return hmac.compare_digest(key.reveal().encode(), given.encode("utf-8", "surrogateescape"))
