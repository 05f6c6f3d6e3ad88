"""The mesh of a whole job against a real storage: cut, expired, odd, too large, gone back on."""

from __future__ import annotations

import struct

import pytest

from csm_refine_addon.commands import outcome
from csm_refine_addon.core import limits
from csm_refine_addon.core.errors import BlendTooNew
from csm_refine_addon.core.jobs import retry_policy, state_machine
from csm_refine_addon.core.models import LOCAL, JobState as S
from csm_refine_addon.core.providers import downloads
from tests.core.harness import assert_ready
from tests.support.api_server import TRIANGLE_OBJ, Answer, session_2024

BLEND = b"BLENDER-v402" + b"".join(struct.pack("<4si8xii", code, 0, 0, 1) for code in (b"OB", b"ME", b"ENDB"))
LARGE = TRIANGLE_OBJ + b"# padding\n" * 200_000


def test_download_is_cut_and_goes_on(house, api):
    """A mesh that comes in pieces is put together, one piece after the other."""
    api.storage.put("mesh.obj", LARGE, '"large"')
    api.storage.script = [Answer(cut_after=300_000) for _ in range(4)] + [Answer(resets=True), Answer()]
    assert_ready(house, house.drive())
    assert ["range" in seen.headers for seen in api.storage.seen] == [False, True, True, True, True, True]


def test_address_expires_while_it_is_fetched(house, api):
    """A signature that runs out in the middle is renewed from the session, and the download goes on."""
    api.storage.put("mesh.obj", LARGE, '"large"')
    api.storage.script = [Answer(cut_after=600_000), Answer(403, b"<?xml?>")]
    assert_ready(house, house.drive())
    assert "range" in api.storage.seen[2].headers
    assert len({seen.query for seen in api.storage.seen}) == 1


@pytest.mark.parametrize(
    "answer", [Answer(403, b"<?xml?>"), Answer(404), Answer(500), Answer(cut_after=3, headers={"ETag": ""})]
)
def test_a_storage_that_never_gives_it(house, api, answer):
    """It is tried a few times, not for hours; the sentence is the storage's, and Retry fetches without sending."""
    api.storage.script = [answer] * 50
    job = house.drive()
    assert (job.state, job.error.code) == (S.FAILED, "service_unreachable")
    assert len(api.storage.seen) == retry_policy.RETRY_LIMIT
    api.storage.script = []
    job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    assert_ready(house, house.drive(job))


PAGES = [b"<html><body>Sign in</body></html>", b"", b"<?xml version='1.0'?><Error/>", b"glTF"]


@pytest.mark.parametrize("content", PAGES)
def test_a_page_instead_of_the_mesh(house, api, content):
    """An error page with HTTP 200 that comes once, or a mesh that is cut short, is fetched again."""
    api.storage.script = [Answer(200, content, {"ETag": '"1"', "Content-Length": str(len(content))})] * 2
    if not content:
        api.storage.script = [Answer(200, b"\n", {"ETag": '"1"'})] * 2
    assert_ready(house, house.drive())


@pytest.mark.parametrize("content", PAGES)
def test_a_mesh_that_is_none(house, api, content):
    """One that stays ends the job with exit code 8, leaves no file, and Retry fetches it anew."""
    api.storage.put("mesh.obj", content)
    job = house.drive()
    assert len(api.storage.seen) == retry_policy.INVALID_MESH_LIMIT
    assert (job.state, job.error.code, outcome.exit_code(job)) == (S.FAILED, "mesh_unusable", 8)
    assert list((house.home.folder / "jobs" / job.id).iterdir()) == []
    api.storage.put("mesh.obj", TRIANGLE_OBJ, '"2"')
    job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    assert_ready(house, house.drive(job))


def test_session_loses_its_mesh(house, api):
    """Where the session shows no mesh any more at the download, it is asked again, and then said."""
    api.after = [session_2024("refine_done", "mesh.obj"), session_2024("refine_done")]
    job = house.drive()
    assert (job.state, job.error.code) == (S.FAILED, "service_unreachable")
    assert "no mesh any more" in job.error.message


def test_a_folder_that_cannot_be_made(house, api):
    """A home that lost its room or rights is a sentence about the folder."""
    house.home.folder.joinpath("jobs").write_text("")
    job = house.drive()
    assert (job.state, job.error.code, len(api.refines)) == (S.FAILED, "storage", 1)


def test_a_mesh_that_is_cut_often_and_fast(house, api):
    """A download that gets further each time is not given up, though no progress was due to be noted."""
    api.storage.put("mesh.obj", LARGE, '"large"')
    api.storage.script = [Answer(cut_after=150_000) for _ in range(12)]
    house.clock.pause = lambda seconds: False  # time stands still
    assert_ready(house, house.drive())


@pytest.mark.parametrize("word", ["training_refine", "preview_done"])
def test_the_status_goes_back_before_the_download(house, api, word):
    """Where the session's end is taken back, the job follows it on; the mesh that it shows meanwhile is not fetched."""
    api.storage.put("old.obj", b"v 9 9 9\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    end = session_2024("refine_done", "mesh.obj")
    api.after = [end, session_2024(word, "old.obj"), session_2024(word, "old.obj"), end]
    assert_ready(house, house.drive())
    assert [seen.path.rpartition("/")[2] for seen in api.storage.seen] == ["mesh.obj"]


def test_the_old_end_comes_back_before_the_download(house, api):
    """A replica that lags behind shows the old result once more: it is not fetched."""
    api.storage.put("old.obj", b"v 9 9 9\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    old, new = session_2024("refine_done", "old.obj"), session_2024("refine_done", "mesh.obj")
    api.before, api.after = [old], [new, old, old, new]
    assert_ready(house, house.drive())
    assert [seen.path.rpartition("/")[2] for seen in api.storage.seen] == ["mesh.obj"]


def test_a_mesh_without_end(house, api, monkeypatch):
    """A mesh beyond the limit is fetched once; the sentence names the limit."""
    monkeypatch.setenv(limits.VARIABLE, '{"download_bytes": 100000}')
    api.storage.script = [Answer(200, drips=b"v 0 0 0\n" * 1000)]
    job = house.drive()
    assert (job.state, job.error.code, outcome.exit_code(job)) == (S.FAILED, "mesh_unusable", 8)
    assert "download_bytes" in job.error.action
    assert len(api.storage.seen) == 1


def test_a_full_disk_and_room_again(house, api, monkeypatch):
    """Without room the job fails with a cure; Retry goes on from the part, and sends nothing."""
    api.storage.put("mesh.obj", LARGE, '"large"')
    api.storage.script = [Answer(cut_after=600_000)]
    room = downloads.RESERVE_BYTES
    monkeypatch.setattr(downloads, "RESERVE_BYTES", 1 << 62)
    monkeypatch.setattr(downloads, "ROOM_STEP_BYTES", 0)
    job = house.drive()
    assert (job.state, job.error.code, outcome.exit_code(job)) == (S.FAILED, "storage", 2)
    assert "retry" in job.error.action
    monkeypatch.setattr(downloads, "RESERVE_BYTES", room)
    api.storage.script = [Answer(cut_after=600_000)]
    job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    assert_ready(house, house.drive(job))
    assert "range" in api.storage.seen[-1].headers


def test_a_blend_of_another_service_is_never_fetched(house, api):
    """Only the local service of this home hands over a .blend; an address elsewhere may name what it likes."""
    blend = api.storage.signed("mesh.blend")
    api.after = [session_2024("refine_done", "mesh.obj", mesh_url_blend=blend)]
    assert_ready(house, house.drive())
    assert [seen.path.rpartition("/")[2] for seen in api.storage.seen] == ["mesh.obj"]


def test_a_blend_in_the_place_of_a_mesh_is_refused(house, api):
    """What another service sends under the name of a mesh is told by its bytes."""
    api.storage.put("mesh.obj", b"BLENDER-v402" + bytes(100))
    job = house.drive()
    assert (job.state, job.error.message) == (S.FAILED, "A .blend came instead of a mesh file.")


def test_a_blend_that_is_too_new_is_fetched_as_another_kind(house, api):
    """The local service's .blend comes first; where the preparing Blender is older, the FBX, and once only."""
    api.storage.put("mesh.blend", BLEND)
    urls = {f"mesh_url_{kind}": api.storage.signed(f"mesh.{kind}") for kind in ("blend", "fbx")}
    api.after = [session_2024("refine_done", "mesh.obj", keys=("mesh_url_glb",), **urls)]
    api.storage.put("mesh.fbx", TRIANGLE_OBJ)
    house.workshop.errors = [BlendTooNew("It is too new.")]
    job = house.drive(house.add(service=LOCAL))
    assert_ready(house, job)
    assert [seen.path.rpartition("/")[2] for seen in api.storage.seen] == ["mesh.blend", "mesh.fbx"]
    assert job.no_blend
