"""Parser for the addresses of services and mesh files: http and https URLs that every parser reads in the same way.

HTTP libraries, browsers and ``urllib.parse`` disagree about backslashes, brackets, user names, control characters and
short forms of IPv4. Such addresses are refused, so the host that is checked here is the host that urllib3 connects to.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from .errors import InputError
from .models import LOCAL

_URL = re.compile(r"(https?)://([^/?#]*)((?:[/?#].*)?)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([0-9a-z._-]{1,255}))(?::([0-9]{1,5}))?", re.ASCII)
_NAME = re.compile(r"(?:[0-9a-z_-]{1,63}\.)*[0-9a-z_-]{1,63}\.?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "Write it like https://api.example.com."


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in parts: the scheme and the host in lower case, an IPv6 host without brackets."""

    scheme: str
    host: str
    port: int | None
    rest: str
    """Path, query and fragment, as written."""

    @property
    def is_loopback(self) -> bool:
        """Whether requests to it stay on this machine."""
        return is_loopback_host(self.host)


def parse(text: str) -> Address:
    """Return a URL in parts. Raises InputError; its message contains only host and port of the URL."""
    found = _URL.fullmatch(text)
    if not found or not text.isprintable() or "\\" in text:
        raise InputError("The service's address is not a URL with http or https.", _EXAMPLE)
    scheme, authority, rest = found[1].lower(), found[2], found[3]
    if "@" in authority:
        raise InputError("The service's address holds a name or password.", "Take it out; the key has its own place.")
    if not authority.isascii():
        raise _not_ascii(scheme, authority)
    parts = _AUTHORITY.fullmatch(authority.lower())
    host, port = (parts[1] or parts[2], int(parts[3]) if parts[3] else None) if parts else ("", None)
    if not host or not _is_host(host, is_ipv6=bool(parts and parts[1])) or not (port is None or 0 < port <= 65535):
        raise InputError("The service's address is not a URL: its host or port is not valid.", _EXAMPLE)
    return Address(scheme, host, port, rest)


def is_loopback(address: str) -> bool:
    """Return whether a base URL, or LOCAL, is on this machine: such requests need no online access."""
    if address == LOCAL:
        return True
    try:
        return parse(address).is_loopback
    except InputError:
        return False


def is_loopback_host(host: str) -> bool:
    """Return whether a host is ``localhost``, in 127.0.0.0/8, or ``::1``; no other form counts."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return number in _LOOPBACK if number.version == 4 else str(number) == "::1"


def is_same_service(first: str, second: str) -> bool:
    """Return whether two base URLs, or LOCAL, are the same service.

    The case of the host, the scheme's own port and slashes at the end make no difference.
    """
    return first == second or _identity(first) == _identity(second)


def _identity(address: str) -> tuple[object, ...]:
    try:
        found = parse(address)
    except InputError:
        return (address,)
    host = str(ipaddress.IPv6Address(found.host)) if ":" in found.host else found.host.rstrip(".")
    return found.scheme, host, found.port or _DEFAULT_PORTS[found.scheme], found.rest.rstrip("/")


def _is_host(host: str, *, is_ipv6: bool) -> bool:
    """Return whether a host is a name, or an address in its usual form (of IPv4, four decimal numbers)."""
    try:
        if is_ipv6:
            return bool(ipaddress.IPv6Address(host))
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    return bool(_NAME.fullmatch(host))


def _not_ascii(scheme: str, authority: str) -> InputError:
    import idna  # comes with requests

    host, colon, port = authority.partition(":")
    try:
        name = idna.encode(host, uts46=True).decode()
    except UnicodeError:  # the base of idna's own errors
        name = ""
    if not name or not port.isascii():
        return InputError("The service's address is not a URL: its host or port is not valid.", _EXAMPLE)
    typed = f"{scheme}://{name}{colon}{port}"
    return InputError(
        f"The host in the service's address has characters other than ASCII: it stands for {name}.",
        f"If you mean this host, write {typed}.",
    )
