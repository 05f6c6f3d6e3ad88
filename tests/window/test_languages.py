"""The panel in every language that it speaks; `test.py --window --keep-pictures` takes docs/languages from here."""

from __future__ import annotations

SIZE = (600, 1640)
"""High enough for the panel with everything open."""


def test_languages(play):
    """Nothing that stands in one line is wider than its place, in any language."""
    seen = play("languages", size=SIZE, limit_s=240.0)
    assert {language: texts for language, texts in seen["too_wide"].items() if texts} == {}
