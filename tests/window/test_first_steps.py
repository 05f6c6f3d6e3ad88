"""From the installed zip to a code that can be refined."""

from __future__ import annotations

from window import blender


def test_enabling(play):
    """The installed zip is found in the preferences and enabled by a click; its tab offers the local service."""
    play("enabling", installs=blender.Installs.DISABLED, CSM_API_KEY="")


def test_code(play, api):
    """A code is typed or pasted; what is wrong with it is said, and costs nothing; the session is looked up once."""
    play("code", SERVICE=api.url)
    assert api.refines == []
    assert len(api.looks) == 1
