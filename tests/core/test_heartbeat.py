"""What says that a process is alive keeps what the process is at work on, and nothing that it forgot."""

from __future__ import annotations

import time

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import heartbeat
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.jobs.runner import LEASE_S
from csm_refine_addon.core.processes.local_service import LocalService
from tests.support.api_server import wait_until


def test_a_lease_that_could_not_be_given_back_runs_out(tmp_path, monkeypatch):
    """Else a result whose lease a locked journal kept could not be placed for as long as that process lives."""
    monkeypatch.setattr(heartbeat, "RENEW_EVERY_S", 0.02)
    home = DataDir(tmp_path).ensure()
    later = time.time() + LEASE_S - 1
    with JobStore(home.journal) as journal:
        here = heartbeat.LeaseKeeper(home, LocalService(home), lambda: ["driven"], clock=lambda: later)
        for name in ("driven", "forgotten"):
            assert journal.claim(name, here.owner, time.time(), LEASE_S)
        with here:
            wait_until(lambda: "driven" in journal.held_by_others("", later + LEASE_S - 1, LEASE_S))
        assert journal.held_by_others("", later + LEASE_S - 1, LEASE_S) == {"driven"}
        assert journal.claim("forgotten", "another", later + 2, LEASE_S)
