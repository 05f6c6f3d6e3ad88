"""The client factory: creates the client of a service's address, with the key for that service."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from ..errors import KeyMissing
from ..models import LOCAL, Secret
from ..processes.background import KEY_VARIABLE, Wait
from ..processes.local_service import LocalService
from .client import Client

DEFAULT_TIMEOUT_S = 30.0


class ClientFactory:
    """Makes clients, one for each thread and address.

    ``key_of`` gives the key for an address, or None; what it gave first is kept, so that no job goes on with another
    account than it began with. The local service has its own key and is started where it does not run.
    """

    def __init__(
        self,
        local_service: LocalService,
        *,
        key_of: Callable[[str], Secret | None],
        is_online: Callable[[], bool],
        pause: Wait,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._local_service = local_service
        self._key_of = key_of
        self._kept: dict[str, Secret] = {}
        self._is_online = is_online
        self._pause = pause
        self._timeout_s = timeout_s
        self.ends_at = math.inf
        """Bounds all requests, by the monotonic clock."""
        self._clients = threading.local()

    def key(self, service: str) -> Secret | None:
        """Return the key that requests to an address carry, once it is known. Raises KeyMissing."""
        if service not in self._kept:
            found = self._key_of(service)
            if found is None:
                return None
            self._kept.setdefault(service, found)
        return self._kept[service]

    def client(self, service: str) -> Client:
        """Return this thread's client of a service. Raises KeyMissing, or ServiceUnreachable for the local one."""
        if service == LOCAL:
            address, key = self._local_service.find_or_start(self._pause)
        else:
            address, found = service, self.key(service)
            if found is None:
                raise KeyMissing(
                    f"There is no API key for {service}.",
                    f"Set {KEY_VARIABLE}, give the key in the extension's preferences, or use the local service.",
                )
            key = found
        known: dict[tuple[str, Secret], Client] = self._clients.__dict__.setdefault("known", {})
        identity = (address, key)
        if identity not in known:
            known[identity] = Client(
                address,
                key,
                is_online=self._is_online,
                timeout_s=self._timeout_s,
                ends_at=self.ends_at,
                needs_proof=service == LOCAL,
            )
        return known[identity]
