"""What goes wrong, and what happens meanwhile: nothing is lost, and nothing is sent twice."""

from __future__ import annotations

import pytest

from tests.support import api_server


def test_trouble(play, api):
    """A refusal is shown and can be copied; Retry asks before it sends; a stopped job is followed again unpaid."""
    api.posts = [api_server.refusal(400, "This session is broken."), api_server.refine_ack()]
    seen = play("trouble", SERVICE=api.url)
    assert "This session is broken." in seen["copied"]
    assert len(api.refines) == 2


@pytest.mark.timeout(500)
def test_local(play):
    """The local service starts by a click, shows its progress in the status bar, and refines each of a selection.

    The cube comes back with its 8 vertices and 6 quads, a heavy mesh as the quads that were asked for.
    """
    seen = play("local", limit_s=420.0, CSM_API_KEY="")
    assert seen["code"].startswith("SESSION_")
    assert seen["cube"] == [8, 6, 0]
    _vertices, quads, others = seen["suzanne"]
    assert 4500 <= quads <= 5500
    assert others < 0.05 * quads
    assert seen["picture"].endswith(".png")
    assert any("Cube" in text for text in seen["status_bar"])


def test_clean_up(play):
    """What can be deleted is said in a dialog; it is deleted after a yes only."""
    play("clean_up")
