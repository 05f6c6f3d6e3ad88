"""A new job out of what the user asked for: the same for the panel, scripts and the command line."""

from __future__ import annotations

import secrets

from ..models import Job, Placement, RefineRequest
from ..processes.local_settings import require_local

FOLLOW_S = 10800.0
"""How long to follow where the user does not say: a refine took up to two hours (CSM API reference)."""

POLL_S = (5.0, 30.0)
"""First and longest pause between looks, as the CSM API reference advises."""


def new_job(  # noqa: PLR0913 -- one for each thing that the user can say, by keyword
    request: RefineRequest,
    service: str,
    *,
    now: float,
    timeout_s: float = FOLLOW_S,
    poll_s: tuple[float, float] = POLL_S,
    placement: Placement | None = None,
    fit_to_box: bool = True,
    place_automatically: bool = True,
    blend_file: str = "",
    window: str = "",
    source_blend: str = "",
    source_objects: tuple[str, ...] = (),
    job_id: str = "",
    fetch_only: bool = False,
    account: str = "",
) -> Job:
    """Return a job that is ready to be written down; it is sent by whoever drives it next.

    Raises InputError where the request has settings of the local service and goes to another one.
    ``account`` is the fingerprint of the key that it is made with, where that is known (see ``accounts``).
    With ``fetch_only`` nothing is sent: the result that the session has is fetched.

    ``poll_s`` is the first and the longest pause between looks.
    ``service`` is LOCAL or a checked base URL; ``window`` names the open file whose Blender places the result by
    itself; ``source_blend`` and ``source_objects`` are given where the local service is to make the session first.
    """
    require_local(service, request.local)
    return Job(
        id=job_id or new_id(),
        request=request,
        service=service,
        created_at=now,
        timeout_s=timeout_s,
        deadline_at=now + timeout_s,
        due_at=now,
        poll_first_s=poll_s[0],
        poll_longest_s=poll_s[1],
        placement=placement,
        fit_to_box=fit_to_box,
        place_automatically=place_automatically,
        blend_file=blend_file,
        window=window,
        source_blend=source_blend,
        source_objects=source_objects,
        fetch_only=fetch_only,
        account=account,
    )


def new_id() -> str:
    """Return an id for a job, short enough to be typed."""
    return secrets.token_hex(4)
