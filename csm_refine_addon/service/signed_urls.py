"""Signed URLs of mesh files that expire, with the query parameters of the Azure blob URLs that CSM returns."""

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
"""URLs made within one step are the same, so that polls return an unchanged URL."""
_VERSION = "2024-08-04"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class SignedUrls:
    """Signs paths of the mesh server and checks signatures."""

    def __init__(self, secret: Secret, port: int, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._port = port
        self._clock = clock

    def url(self, host: str, path: str) -> str:
        """Return the signed URL of ``path`` (with a leading slash) on ``host``, valid for at least an hour."""
        expires_at = math.ceil((self._clock() + LIFETIME_S) / STEP_S) * STEP_S
        expires = datetime.fromtimestamp(expires_at, UTC).strftime(_TIME_FORMAT)
        query = {"se": expires, "sp": "r", "sv": _VERSION, "sr": "b", "sig": self._signature(path, expires)}
        return f"http://{host}:{self._port}{path}?{urlencode(query)}"

    def allows(self, path: str, query: Mapping[str, str]) -> bool:
        """Return whether the query has a valid signature for reading this path that has not expired."""
        expires = query.get("se", "")
        if query.get("sp") != "r" or query.get("sv") != _VERSION or query.get("sr") != "b":
            return False
        if not hmac.compare_digest(self._signature(path, expires).encode(), query.get("sig", "").encode()):
            return False
        return datetime.strptime(expires, _TIME_FORMAT).replace(tzinfo=UTC).timestamp() > self._clock()

    def _signature(self, path: str, expires: str) -> str:
        signed = f"{path}\n{expires}\nr\n{_VERSION}\nb".encode()
        return base64.b64encode(hmac.digest(self._secret.reveal().encode(), signed, hashlib.sha256)).decode()
