"""From a service's address to a client: which key goes where."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

from . import checks
from .background import KEY_VARIABLE, Pause
from .client import Client
from .errors import KeyMissing
from .local_service import LocalService
from .models import LOCAL, Secret

DEFAULT_TIMEOUT_S = 30.0


def environment_key() -> Secret | None:
    """Return the key of ``CSM_API_KEY``; None where it is not set. Raises KeyMissing where it cannot be a key."""
    text = os.environ.get(KEY_VARIABLE)
    return None if text is None else checks.api_key(text)


def key_for(service: str, keys: Mapping[str, Secret]) -> Secret | None:
    """Return the key for a service's address: its own, or the one under "" that serves every address without one."""
    return keys.get(service) or keys.get("")


class Services:
    """Makes clients, one for each thread and address.

    ``keys`` is as in :func:`key_for`. The local service has its own key and is started where it does not run.
    """

    def __init__(
        self,
        local_service: LocalService,
        *,
        keys: Callable[[], Mapping[str, Secret]],
        is_online: Callable[[], bool],
        pause: Pause,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._local_service = local_service
        self._keys = keys
        self._is_online = is_online
        self._pause = pause
        self._timeout_s = timeout_s
        self._clients = threading.local()

    def client(self, service: str) -> Client:
        """Return this thread's client of a service. Raises KeyMissing, or ServiceUnreachable for the local one."""
        if service == LOCAL:
            address, key = self._local_service.find_or_start(self._pause)
        else:
            address, found = service, key_for(service, self._keys())
            if found is None:
                raise KeyMissing(
                    f"There is no API key for {service}.",
                    f"Set {KEY_VARIABLE}, give the key in the extension's preferences, or use the local service.",
                )
            key = found
        known: dict[tuple[str, Secret], Client] = self._clients.__dict__.setdefault("known", {})
        identity = (address, key)
        if identity not in known:
            known[identity] = Client(address, key, is_online=self._is_online, timeout_s=self._timeout_s)
        return known[identity]
