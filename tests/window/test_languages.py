"""The panel in every language that it speaks; `test.py --window --keep-pictures` takes docs/languages from here."""

from __future__ import annotations

SIZE = (600, 1640)
"""High enough for the panel with everything open."""
OTHERWISE = {
    "de_DE": {"Box", "Diagnostics", "Key", "Line", "None", "Number of Faces", "Preferences", "Search", "Show Source"}
    | {"Triangles"},
    "fr_FR": {"Back", "Bottom", "Diagnostics", "Front", "High", "Keep", "Low", "Medium", "Off", "On", "Open Folder"}
    | {"Remove", "Show Source", "Top"},
    "es": {"Automatic", "Back", "Bottom", "Bounds", "Box", "Front", "High", "Keep", "Low", "Medium", "Middle"}
    | {"Number of Faces", "Off", "On", "Remove", "Top"},
    "ja_JP": {"Environment", "Line", "Local", "Refine", "Remove", "Show Source", "Thickness"},
    "zh_HANS": {"Back", "Bottom", "Bounds", "Box", "Environment", "Keep", "Key", "Line", "Local", "Medium", "Middle"}
    | {"Off", "On", "Refine", "Remove", "Show Source", "Thickness", "Top"},
}
"""What we say in another way than Blender 4.3 or 5.2: there it is of another thing (a key in an animation, a line that
is drawn, what lies behind), of another gender, or too long for its place."""


def test_languages(play):
    """What stands in one line fits its place in every language; a word is Blender's own, or another one on purpose."""
    seen = play("languages", size=SIZE, limit_s=240.0)
    assert {language: texts for language, texts in seen["too_wide"].items() if texts} == {}
    assert {language: new for language, said in seen["otherwise"].items() if (new := not_meant(language, said))} == {}


def not_meant(language, otherwise):
    """What Blender says in another way, without those where we mean it."""
    meant = OTHERWISE.get(language, set())
    return {text: said for text, said in otherwise.items() if text.partition(": ")[2] not in meant}
