"""Whose a job is: it goes on only with the key that it was made with, because another account would pay for it.

A job's row holds a fingerprint of its key and service, keyed with a secret of the home folder that only its owner may
read: of a journal that is passed on, nobody can try keys out. A job without one belongs to the first key that drives
it, if its service is one that the user chose: a row in a journal does not decide where a key is sent. *Take Over*
writes down, keyed with the same secret, that the user allowed it. Jobs of the local service need no account.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from ..data_dir import DataDir
from ..errors import HELD_BACK, InputError, KeyMissing, OtherAccount, OtherService, StorageError
from ..jobs.job_store import JobStore
from ..jobs.runner import LEASE_S
from ..jobs.state_machine import Step, next_step
from ..models import LOCAL, Job, Secret
from ..secret_files import load_or_create_secret

OWN_FILE = "accounts.secret"
DIGEST_BYTES = 8


def fingerprint(folder: Path, service: str, key: Secret | None) -> str:
    """Return what stands for a key at a service's address; empty without a key, and for the local service.

    ``folder`` is the home's: its secret is made where it is missing. Raises StorageError.
    """
    if key is None or service == LOCAL:
        return ""
    return _digest(folder, f"{service}\n{key.reveal()}", b"csm account")


def asks_service(job: Job) -> bool:
    """Tell whether the job's next step needs the key: placing, preparing and stopping do not."""
    return job.service != LOCAL and next_step(job) not in {Step.REST, Step.PREPARE}


def taken_over(job: Job, folder: Path) -> Job:
    """Leave the job to the next key that drives it: only after the user said yes to it. ``folder`` is the home's."""
    trouble = "" if job.trouble in HELD_BACK else job.trouble
    return dataclasses.replace(job, account=_consent(folder, job), trouble=trouble)


def _consent(folder: Path, job: Job) -> str:
    """Return what stands in a job's row instead of an account once the user allowed that any key takes it."""
    return _digest(folder, f"{job.service}\n{job.id}", b"csm take over")


def _digest(folder: Path, text: str, purpose: bytes) -> str:
    DataDir(folder).open()
    own = load_or_create_secret(folder / OWN_FILE).reveal().encode()
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES, key=own, person=purpose).hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class AccountBinding:
    """Lets a process drive the jobs of the accounts whose keys it has. ``key_of`` gives the key for an address.

    ``is_chosen`` tells whether the user chose an address, so that a job without an account may be adopted.
    ``key_of`` may say None while a key is still being asked for, and raise KeyMissing with the reason why there is
    none.
    """

    folder: Path
    owner: str
    key_of: Callable[[str], Secret | None]
    is_chosen: Callable[[str], bool]

    def admits(self, journal: JobStore, job: Job) -> bool:
        """Tell whether the job may go on here; where not, its row says why."""
        if not asks_service(job):
            return True
        try:
            return self.adopts(journal, job)
        except (KeyMissing, OtherAccount) as error:
            self._say(journal, job, str(error))
        except StorageError:
            raise
        except InputError:
            pass  # removed meanwhile
        return False

    def check(self, job: Job) -> str:
        """Return the account under which the job can go on; empty: there is no key yet.

        A job without one can go on under any if the user chose its service. Raises OtherAccount, OtherService,
        KeyMissing.
        """
        if not job.account and not self.is_chosen(job.service):
            raise OtherService
        mark = fingerprint(self.folder, job.service, self.key_of(job.service))
        if mark and job.account and job.account not in (mark, _consent(self.folder, job)):
            raise OtherAccount
        return mark

    def adopts(self, journal: JobStore, job: Job) -> bool:
        """Check the job, and write down whose it is; False: there is no key yet. Raises as :meth:`check`."""
        mark = self.check(job)
        if mark and job.account != mark:
            self.check(journal.change(job.id, lambda job: self._owned(job, mark)))
        return bool(mark)

    def _owned(self, job: Job, mark: str) -> Job:
        is_free = not job.account or job.account == _consent(self.folder, job)
        return dataclasses.replace(job, account=mark) if is_free else job

    def _say(self, journal: JobStore, job: Job, trouble: str) -> None:
        """Write down why the job waits, unless another process drives it."""
        if job.trouble != trouble and journal.claim(job.id, self.owner, time.time(), LEASE_S):
            try:
                journal.change(job.id, lambda job: dataclasses.replace(job, trouble=trouble))
            finally:
                journal.release(job.id, self.owner)
