"""Exception hierarchy: one class for each action that the user can take.

CsmError
├── InputError                 2    correct what was typed or chosen
│   ├── StorageError           2    make the data folder writable, or free disk space
│   │   └── JobStoreBusy       2    do it again in a moment
│   ├── AlreadySubmitted       2    follow the job of the same session
│   └── ServiceMoved           2    give the service's new address
├── KeyMissing                 3    give a key
├── KeyRefused                 3    give another key
├── OtherAccount               3    use the key that the job was made with, or take the job over
│   └── OtherService           3    choose the job's service, or take the job over
├── SessionUnknown             4    check the code
├── SessionNotRefinable        4    wait for the preview mesh, or take another session
├── RefineFailed               5    the service failed or refused the refine: read its message
│   └── OutOfCredits           5    buy credits
├── FollowTimeout              6    follow on later
├── ServiceUnreachable         7    check network and address, try again
│   └── ServiceBusy            7    wait as long as the service says
├── BlenderOffline             7    allow online access
├── MeshUnusable               8    look at the mesh, refine again
│   ├── MeshTooLarge           8    raise the limit, or refine with fewer faces
│   ├── BlendTooNew            8    take another kind of file, or a newer Blender
│   └── PrepareFailed          8    import the mesh in the window instead
├── OutcomeUncertain           9    look again; send again only on purpose
└── Interrupted              130    nothing

The numbers are the exit codes of the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .models import Job

LATER = "Try again later."
"""The action of temporary errors; ``job_errors.retry_message`` replaces it while a job retries."""


class CsmError(Exception):
    """Base class: ``message`` states what is wrong, ``action`` states what to do.

    Both are shown to the user unchanged; neither ever contains a key or a signed URL.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, action: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.action = action

    def __str__(self) -> str:
        return f"{self.message} {self.action}".strip()


class InputError(CsmError):
    """User input is invalid; raised before anything is sent."""

    code = "bad_input"
    exit_code = 2


class StorageError(InputError):
    """The data folder or the job store cannot be used."""

    code = "storage"


class JobStoreBusy(StorageError):
    """Another process holds the lock of the job store for longer than the timeout."""


class AlreadySubmitted(InputError):
    """Another refine of the session was sent, or is about to be: ``job`` is its job."""

    def __init__(self, message: str, action: str, job: Job) -> None:
        super().__init__(message, action)
        self.job = job


class ServiceMoved(InputError):
    """The service redirects: its address has changed, or a captive portal intercepts the request."""


class KeyMissing(CsmError):
    """No API key is set for the service."""

    code = "key_missing"
    exit_code = 3


class KeyRefused(CsmError):
    """The service refused the API key (401, 403)."""

    code = "key_refused"
    exit_code = 3


class OtherAccount(CsmError):
    """The job is bound to another API key than the current one: another account would pay for it."""

    code = "other_account"
    exit_code = 3

    def __init__(
        self,
        message: str = "This job belongs to another API key.",
        action: str = "Use that key to go on, or take the job over with this one.",
    ) -> None:
        super().__init__(message, action)


class OtherService(OtherAccount):
    """The job is not bound to an account yet, and its service is not the chosen one: no key is sent there."""

    def __init__(
        self,
        message: str = "This job belongs to no API key yet, and its service is not the chosen one.",
        action: str = "Choose its service to go on, or take the job over with the present key.",
    ) -> None:
        super().__init__(message, action)


class SessionUnknown(CsmError):
    """The service has no session with this code (404)."""

    code = "session_unknown"
    exit_code = 4


class SessionNotRefinable(CsmError):
    """The session has a status from which it cannot be refined."""

    code = "session_not_refinable"
    exit_code = 4


class RefineFailed(CsmError):
    """The service failed the refine, or refused to start it."""

    code = "refine_failed"
    exit_code = 5


class OutOfCredits(RefineFailed):
    """The account has no credits left (402)."""

    code = "out_of_credits"


class FollowTimeout(CsmError):
    """The time limit of the job has passed; the refine may still run on the service."""

    code = "timeout"
    exit_code = 6


class ServiceUnreachable(CsmError):
    """The service gave no usable response: network, address, or server failure."""

    code = "service_unreachable"
    exit_code = 7


class ServiceBusy(ServiceUnreachable):
    """The service is busy (429, 503); a submission with this response was not accepted."""

    code = "service_busy"

    def __init__(self, message: str, action: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, action)
        self.retry_after_s = retry_after_s


class BlenderOffline(CsmError):
    """Blender's online access is off; nothing was sent."""

    code = "blender_offline"
    exit_code = 7


class MeshUnusable(CsmError):
    """What the service returned is not a usable mesh."""

    code = "mesh_unusable"
    exit_code = 8


class MeshTooLarge(MeshUnusable):
    """The mesh file is larger than allowed; fetching it again does not help."""


class BlendTooNew(MeshUnusable):
    """The mesh is a .blend that was written by a newer Blender than the one that reads it."""

    code = "blend_too_new"


class PrepareFailed(MeshUnusable):
    """The mesh file passed its checks, but the background Blender could not be started or failed on it."""

    code = "prepare_failed"


class OutcomeUncertain(CsmError):
    """The submission was sent, no response arrived, and the session does not show the outcome."""

    code = "uncertain"
    exit_code = 9


class Interrupted(CsmError):
    """The user interrupted the command."""

    code = "interrupted"
    exit_code = 130


HELD_BACK = frozenset({str(OtherAccount()), str(OtherService())})
"""Values of ``Job.trouble`` of a job that waits for another key or service; *Take Over* is offered then."""
