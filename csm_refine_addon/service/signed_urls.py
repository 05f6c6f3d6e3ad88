"""Addresses of mesh files that expire: signed in the query, in the form of the Azure blob URLs that CSM hands out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from ..core.models import Secret

LIFETIME_S = 3600.0
STEP_S = 600.0
"""Addresses handed out within one step are the same, so that polling does not see a new one each time."""
_VERSION = "2024-08-04"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class SignedUrls:
    """Signs paths of the mesh origin and tells whether a request may read one."""

    def __init__(self, secret: Secret, port: int, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._port = port
        self._clock = clock

    def url(self, host: str, path: str) -> str:
        """Return the address of ``path`` (with its leading slash) on ``host``, good for an hour at least."""
        expires_at = math.ceil((self._clock() + LIFETIME_S) / STEP_S) * STEP_S
        expires = datetime.fromtimestamp(expires_at, UTC).strftime(_TIME_FORMAT)
        query = {"se": expires, "sp": "r", "sv": _VERSION, "sr": "b", "sig": self._signature(path, expires)}
        return f"http://{host}:{self._port}{path}?{urlencode(query)}"

    def allows(self, path: str, query: Mapping[str, str]) -> bool:
        """Tell whether the query's signature is ours, for this path and for reading, and not yet expired."""
        expires = query.get("se", "")
        if query.get("sp") != "r" or query.get("sv") != _VERSION or query.get("sr") != "b":
            return False
        if not hmac.compare_digest(self._signature(path, expires).encode(), query.get("sig", "").encode()):
            return False
        return datetime.strptime(expires, _TIME_FORMAT).replace(tzinfo=UTC).timestamp() > self._clock()

    def _signature(self, path: str, expires: str) -> str:
        signed = f"{path}\n{expires}\nr\n{_VERSION}\nb".encode()
        return base64.b64encode(hmac.digest(self._secret.reveal().encode(), signed, hashlib.sha256)).decode()
