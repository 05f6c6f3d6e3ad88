"""Local sessions that nothing refers to are deleted by their service, and no others."""

from __future__ import annotations

import os
import sys
import time

import pytest

from csm_refine_addon.core.jobs import cleanup
from csm_refine_addon.core.models import JobState as S
from tests.support import sample_meshes

from .test_cancel import Setup


@pytest.fixture
def setup(tmp_path, stalled_blender):
    opened = Setup(tmp_path, stalled_blender)
    yield opened
    opened.close()


def test_sessions_without_a_job_go_after_a_day(setup):
    """An old session without a job goes; one of a job, one of today, and a folder that is no session stay."""
    used = setup.add().request.session_code
    young, old = (setup.service.create(sample_meshes.glb()) for _ in range(2))
    folder = setup.service.folder / "sessions"
    (folder / "something").mkdir()
    for name in (used, old, "something"):
        os.utime(folder / name, (time.time() - 2 * cleanup.DAY_S,) * 2)
    space = cleanup.finish(cleanup.start(setup.home, sys.executable, setup.blender, delete=True))
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {used, young, "something"}
    assert setup.service.ask("GET", f"/image-to-3d-sessions/{old}").status_code == 404
    assert 0 < space.deleted == space.unneeded < space.sessions
    assert setup.journal.all()[0].state is S.PREPARED
