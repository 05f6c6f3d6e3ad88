"""What the worker is told of this Blender: whether it is online, and the keys for the services that need one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress

from ...core.errors import CsmError
from ...core.models import LOCAL, Job, Secret
from .. import data_location, preferences


def line(jobs: Iterable[Job], looked_up: Iterable[str], presses: int) -> bytes:
    """Return the worker's control line; ``presses`` differs after the user pressed something.

    The key may go to the address of the chosen service, those ``looked_up`` here, and those of the ``jobs`` under way
    that belong to an account.
    """
    from ...core.jobs import worker
    from ...core.providers import credentials

    chosen = set(looked_up)
    with suppress(CsmError):
        chosen.add(preferences.service_address())
    addresses = tuple(sorted(chosen.union(job.service for job in jobs if job.account) - {LOCAL}))
    text = preferences.key_command()
    command = credentials.KeyCommand(text, addresses, presses) if text else credentials.KeyCommand()
    timeout_s = preferences.network_timeout_s()
    return worker.control_line(preferences.is_online(), keys(addresses), timeout_s, command, chosen)


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
    from ...core.providers import account_binding

    return dataclasses.replace(job, account=account_binding.fingerprint(data_location.home().folder, job.service, key))
