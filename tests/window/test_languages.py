"""The panel in every language that it speaks; its pictures are those of docs/languages."""

from __future__ import annotations

import shutil

from tests.support.repository import ROOT

PICTURES = ROOT / "docs" / "languages"
SIZE = (600, 1640)
"""High enough for the panel with everything open."""


def test_languages(play, suite):
    """Nothing that stands in one line is wider than its place, in any language."""
    seen = play("languages", size=SIZE, limit_s=240.0)
    if suite.name == "sid":
        PICTURES.mkdir(parents=True, exist_ok=True)
        for picture in (play.job / "pictures").glob("panel_*.png"):
            shutil.copy(picture, PICTURES)
    assert {language: texts for language, texts in seen["too_wide"].items() if texts} == {}
