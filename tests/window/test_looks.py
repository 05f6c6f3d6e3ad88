"""What the panel looks like."""

from __future__ import annotations

from tests.support import api_server

SECOND = "SESSION_1689256797_6037626"


def test_looks(play, api):
    """The main states have their pictures in both themes at both scales, and drawing them makes no mistake."""
    api.others[f"{api_server.SESSIONS}/{SECOND}"] = [api_server.session_2024("preview_done", session_code=SECOND)]
    api.others[f"{api_server.SESSIONS}/get-3d/refine/{SECOND}"] = [api_server.refusal(400, "This session is broken.")]
    play("looks", SERVICE=api.url)


def test_panel(play):
    """The picture in the README: two real jobs of the local service, one placed, one under way."""
    play("panel", size=(1100, 760), limit_s=240.0, CSM_API_KEY="")
