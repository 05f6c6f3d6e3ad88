"""The picture of source and result that the local service makes, on its way into a job's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from csm_refine_addon.core.jobs.runner import PNG
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.providers.csm_schema import Reply, read_session
from tests.core.harness import assert_ready
from tests.support.api_server import CODE, Answer, session_2024, session_2025

PATH = "/picture.png"


def shown(api, **changes) -> None:
    """The session's answers once it is refined, with the address of a picture."""
    urls = {"picture_url": api.url + PATH + "?sig=secret", **changes}
    api.after = [session_2024("training_refine"), session_2024("refine_done", "mesh.obj", **urls)]


def test_it_lies_beside_the_mesh(house, api):
    """A job of a local service brings the picture with its mesh; the key does not go along."""
    shown(api)
    api.others[PATH] = [Answer(body=PNG + b"pixels")]
    job = house.drive()
    assert_ready(house, job)
    assert Path(job.picture_path) == Path(job.mesh_path).with_name("picture.png")
    assert Path(job.picture_path).read_bytes() == PNG + b"pixels"
    (asked,) = [seen for seen in api.seen if seen.path == PATH]
    assert "x-api-key" not in asked.headers


@pytest.mark.parametrize(
    "answer",
    [Answer(404), Answer(body=b"<html>"), Answer(resets=True), Answer(body=PNG + bytes(6 << 20))],
    ids=["gone", "no picture", "reset", "too large"],
)
def test_the_mesh_comes_without_it(house, api, answer):
    """A picture that cannot be had costs the job nothing but the picture."""
    shown(api)
    api.others[PATH] = [answer]
    job = house.drive()
    assert_ready(house, job)
    assert job.picture_path == ""
    assert not Path(job.mesh_path).with_name("picture.png").exists()


@pytest.mark.parametrize("form", [session_2024, session_2025])
def test_its_address_is_a_secret(api, form):
    """The signed address is read in both forms, and never printed; a session without one has none."""
    document = form("refine_done", picture_url="http://127.0.0.1/picture.png?sig=abc").body(api)["data"]
    session = read_session(Reply(200, "", document))
    assert session.picture == Secret("http://127.0.0.1/picture.png?sig=abc")
    assert "abc" not in repr(session)
    assert read_session(Reply(200, "", {"session_code": CODE, "status": "refine_done"})).picture is None
