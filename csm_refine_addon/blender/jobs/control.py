"""What the worker is told of this Blender: whether it is online, and the keys for the services that need one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress

from ...core.errors import CsmError
from ...core.models import LOCAL, Job, Secret
from .. import locations, preferences


def services(jobs: Iterable[Job], looked_up: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses that the key may go to: of the chosen service, of ``jobs`` under way, and ``looked_up``."""
    found = {job.service for job in jobs}.union(looked_up)
    with suppress(CsmError):
        found.add(preferences.service_address())
    return tuple(sorted(found - {LOCAL}))


def line(addresses: tuple[str, ...], presses: int) -> bytes:
    """Return the worker's control line; ``presses`` differs after the user pressed something."""
    from ...core.driving import worker
    from ...core.keys import key_sources

    text = preferences.key_command()
    command = key_sources.KeyCommand(text, addresses, presses) if text else key_sources.KeyCommand()
    return worker.control_line(preferences.is_online(), keys(addresses), preferences.network_timeout_s(), command)


def keys(addresses: Iterable[str]) -> dict[str, Secret]:
    """Return the key for each address, as far as it is known here: a command's is not."""
    try:
        key = preferences.api_key()
    except CsmError:
        return {}
    return dict.fromkeys(addresses, key) if key else {}


def with_account(job: Job) -> Job:
    """Return a new job with the account that it is made with, where the key is known here."""
    key = keys([job.service]).get(job.service)
    if key is None or job.service == LOCAL:
        return job
    from ...core.keys import accounts

    return dataclasses.replace(job, account=accounts.fingerprint(locations.home().folder, job.service, key))
