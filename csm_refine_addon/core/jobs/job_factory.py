"""Factory of new jobs, shared by the panel, scripts and the command line."""

from __future__ import annotations

import secrets

from ..models import Job, Placement, RefineRequest
from ..processes.local_settings import require_local

FOLLOW_S = 10800.0
"""Default time limit: a refine took up to two hours (CSM API reference)."""

POLL_S = (5.0, 30.0)
"""Default poll interval, first and longest, as the CSM API reference advises."""


def new_job(  # noqa: PLR0913 -- one keyword for each user option
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
    """Return a new job in PREPARED, to be added to the job store.

    ``service`` is LOCAL or a checked base URL. ``poll_s`` is the first and the longest poll interval.
    ``account`` is the fingerprint of the key, if known (see ``account_binding``).
    With ``fetch_only`` nothing is sent: the existing result of the session is downloaded.
    ``window`` is the id of the file session in which the result is placed automatically.
    ``source_blend`` and ``source_objects`` are set if the local service creates the session first.

    Raises InputError if the request has settings of the local service and goes to another service.
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
