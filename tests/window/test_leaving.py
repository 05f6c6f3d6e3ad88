"""A job goes on while its user renders, opens another file, or leaves Blender."""

from __future__ import annotations

from tests.support import api_server

KILLED = 256 - 9
SECOND = "SESSION_1689256797_6037626"


def test_meanwhile(play, api):
    """A result waits for a render's end, and for its own file where another one is open."""
    api.others[f"{api_server.SESSIONS}/{SECOND}"] = [api_server.Answer(body=second)]
    api.others[f"{api_server.SESSIONS}/get-3d/refine/{SECOND}"] = [api_server.refine_ack()]
    api.others["/again"] = [api_server.Answer(body=again)]
    seen = play("meanwhile", SERVICE=api.url, limit_s=200.0)
    assert seen["waiting"] == ["It is placed when the render is done."]


def second(api):
    """A second session, which stands where the first one stood when it was sent."""
    is_sent = any(seen.path.endswith(f"refine/{SECOND}") for seen in api.seen)
    return {**(api.after if is_sent else api.before)[0].body(api), "session_code": SECOND}


def again(api):
    api.after[:] = [api_server.session_2024("training_refine")]
    return {}


def test_leaving(play, api):
    """A job that runs when Blender is quit, or killed, is found by the next Blender, placed there, and sent once."""
    for end, code in (("quit", 0), ("kill", KILLED), ("", 0)):
        assert play("leaving", SERVICE=api.url, END=end, ends_with=code)["state"] == "RUNNING"
    assert len(api.refines) == 1
