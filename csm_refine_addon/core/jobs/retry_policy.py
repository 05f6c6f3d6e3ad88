"""Retry policy: how many consecutive failures of a request a job survives."""

from __future__ import annotations

from .. import errors
from ..errors import CsmError
from ..models import Job, JobState

RETRY_LIMIT = 6
"""Attempts of a submission that the service did not accept, and of a download."""
BASELINE_RETRY_LIMIT = 3
"""Failed reads of the session before anything is sent: few, because the user is waiting."""
REFUSAL_LIMIT = 4
"""Consecutive refused reads once a refine was sent: gateways also return 401, 403 and 404."""
INVALID_MESH_LIMIT = 3
"""Consecutive downloads that are no mesh: a web page, or a truncated file."""
EMPTY_RESULT_LIMIT = 10
"""Consecutive responses with a final status but without a mesh."""
MISSING_REFINE_LIMIT = 5
"""Consecutive reads without the refine that the session showed before, if this job did not send it."""
UNKNOWN_STATUS_LIMIT = 3
"""Reads of an unknown status word before the submission, until it counts as a running refine."""
OFFLINE_RETRY_S = 2.0
REFUSALS = (errors.KeyRefused, errors.SessionUnknown, errors.SessionNotRefinable, errors.OutOfCredits)
"""Errors of a refused read."""


def attempt_limit(job: Job, error: CsmError) -> int | None:
    """Return the number of consecutive failures until the job fails; None: until its deadline."""
    is_sent = (job.sent_at or job.accepted_at) is not None
    if isinstance(error, errors.ServiceUnreachable) or (isinstance(error, errors.ServiceMoved) and is_sent):
        return {JobState.PREPARED: BASELINE_RETRY_LIMIT, JobState.DOWNLOADING: RETRY_LIMIT}.get(job.state)
    if isinstance(error, REFUSALS) and is_sent:
        return REFUSAL_LIMIT
    is_invalid_mesh = isinstance(error, errors.MeshUnusable) and not isinstance(error, errors.MeshTooLarge)
    return INVALID_MESH_LIMIT if is_invalid_mesh and job.state is JobState.DOWNLOADING else 1
