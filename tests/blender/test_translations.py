"""Every text that can be read has a translation, and a sentence made of parts is found again in its table."""

from __future__ import annotations

import bpy
import pytest

from csm_refine_addon.blender import i18n, registration
from csm_refine_addon.blender.i18n import lines, tables
from csm_refine_addon.blender.ui import status_bar
from csm_refine_addon.blender.ui.operators import operator_base
from scripts import texts
from tests.support import panel
from tests.support.strict_layout import StrictLayout

TABLE = tables.Table(
    {
        "Placed": "Platziert",
        "Object": "Objekt",
        "Ready to be placed": "Bereit zum Platzieren",
        "vertices": "Punkte",
        "{0} of {1}": "{0} von {1}",
        "{0} days": "{0} Tage",
        "Made {0} ago": "Vor {0} angelegt",
        "“{0}” is hidden.": "„{0}“ ist ausgeblendet.",
        "Show it.": "Zeige es.",
        "It waits: {0}": "Es wartet: {0}",
        "The file is damaged: {0}.": "Die Datei ist beschädigt: {0}.",
        "it has {0} bytes": "sie hat {0} Byte",
        "It is busy ({0}).{1}": "Ausgelastet ({0}).{1}",
        "It says: {0}.": "Es sagt: {0}.",
        "Sending {0}": "Sende {0}",
        "No {0}.": "Keine {0}.",
        "Texture “{name}” of {count}": "{count}: Textur „{name}“",
    }
)


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("Placed", "Platziert"),
        ("3.0 MB of 12.0 MB", "3.0 MB von 12.0 MB"),
        ("Made 3 days ago", "Vor 3 Tage angelegt"),
        ("“Object” is hidden. Show it.", "„Object“ ist ausgeblendet. Zeige es."),
        ("It waits: “A. B” is hidden. Show it.", "Es wartet: „A. B“ ist ausgeblendet. Zeige es."),
        ("The file is damaged: it has 3 bytes.", "Die Datei ist beschädigt: sie hat 3 Byte."),
        ("It is busy (503). It says: no {room}.", "Ausgelastet (503). Es sagt: no {room}."),
        ("It is busy (503). It says: Show it.", "Ausgelastet (503). Es sagt: Zeige es."),
        ("It says: Nobody knows this. Show it.", "Es sagt: Nobody knows this. Zeige es."),
        ("It is busy (503).", "Ausgelastet (503)."),
        ("No vertices.", "Keine Punkte."),
        ("Texture “Placed” of 2", "2: Textur „Placed“"),
        ("Nobody knows this. Show it.", "Nobody knows this. Zeige es."),
        ("Nobody knows this", "Nobody knows this"),
        ("It says: there is no end of it.", "Es sagt: there is no end of it."),
        ("No end of it", "No end of it"),
    ],
)
def test_a_sentence_is_found(english, german):
    """A text is translated whole, by its template, or sentence by sentence; what no table knows stays English."""
    assert TABLE.translated(english) == german


@pytest.mark.parametrize("name", ["Object", "Back of a chair", "Chair of Doom", "Sending Machine", "Placed"])
def test_a_name_stays(name):
    """An object's name is shown as it was given, also where it is a word of the product."""
    assert TABLE.translated(f"Sending {name}") == f"Sende {name}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three", ["one two", "three"]),
        ("/a/very/long/path here", ["/a/very/l", "ong/path", "here"]),
        ("\u6587\u5b57\u6570\u5b57\u3002\u7f51\u683c", ["\u6587\u5b57\u6570", "\u5b57\u3002\u7f51\u683c"]),
        ("a \u6587\u5b57 \u300c\u6570\u300d", ["a \u6587\u5b57", "\u300c\u6570\u300d"]),
        ("", []),
    ],
)
def test_lines(text, expected):
    """Lines end at spaces and between wide characters, no line begins with a closing mark, and long words are cut."""
    assert lines.wrap(text, lambda part: lines.columns(part) <= 9) == expected


@pytest.mark.parametrize("language", tables.LANGUAGES)
def test_sentences_are_found_in_each_language(language):
    """An error of a service, as the panel gets it, is wholly in the language: nothing of it stays English."""
    parts = ("This session is being refined already.", "Wait until it has ended.", "It is tried again.")
    shown = tables.load(language).translated("The service is busy (503). It says: {} {} {}".format(*parts))
    assert not [part for part in (*parts, "The service is busy", "It says") if part in shown]
    assert "503" in shown
    assert "{" not in shown


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de_DE", "de_DE"), ("de_AT", "de_DE"), ("es", "es"), ("zh_CN", "zh_HANS"), ("zh_HANT", None), ("", None)],
)
def test_language(locale, language):
    """Blender's locales lead to our languages; traditional Chinese is another one than simplified."""
    assert tables.language_of(locale) == language


@pytest.mark.parametrize("language", tables.LANGUAGES)
def test_complete(language):
    """Each text of the sources has a translation with the same fields, and no table holds anything else."""
    assert texts.problems(texts.collect(), texts.table(language)) == []


@pytest.mark.parametrize(
    ("translation", "problem"),
    [
        ({}, "x.py:1: no translation: {0} of {1}"),
        ({"{0} of {1}": ""}, "empty: {0} of {1}"),
        ({"{0} of {1}": "{0} von"}, "other fields than “{0} of {1}”: {0} von"),
        ({"{0} of {1}": " {1}: {0}"}, "begins or ends with a space:  {1}: {0}"),
        ({"{0} of {1}": "{1}: {0}", "Gone": "Fort"}, "not in the sources any more: Gone"),
    ],
)
def test_an_incomplete_table_is_seen(translation, problem):
    """A missing, empty, misshapen or left-over translation is named."""
    assert texts.problems({"{0} of {1}": "x.py:1"}, translation) == [problem]


def test_a_new_text_is_seen():
    """Labels, f-strings, templates and tooltips are found in the sources; logs, docstrings and identifiers are not."""
    source = '''
class CSM_OT_new(Operator):
    """A tooltip"""
    bl_idname = "csm_refine.new"
    def draw(self, context):
        """A docstring."""
        self.layout.label(text=f"{done:.1f} of {total} done", icon="MOD_REMESH")
        log.info("Nobody reads this.")
        raise InputError("{} is gone.".format(name), "Find it.")
'''
    found = [texts.numbered(text) for _line, text in texts.texts_in(source) if texts.is_read(text)]
    assert found == ["A tooltip", "{0} of {1} done", "{0} is gone.", "Find it."]


def test_what_blender_shows_is_known(tmp_path, monkeypatch):
    """Every label, description and choice of a registered class is among the collected texts."""
    known = tables.Table(dict.fromkeys(texts.collect(), "known"))
    with panel.enabled(tmp_path / "home", monkeypatch):
        shown = {text.strip() for kind in registration.CLASSES for text in _texts_of(kind)}
    assert {text for text in shown if texts.is_read(text) and known.translated(text) != "known"} == set()


def _texts_of(kind):
    yield getattr(kind, "bl_label", "")
    described = kind.bl_rna
    if issubclass(kind, bpy.types.Operator):  # its own RNA knows none of its properties
        module, _, name = kind.bl_idname.partition(".")
        described = getattr(getattr(bpy.ops, module), name).get_rna_type()
        yield described.description
    inherited = described.base.properties.keys() if described.base else ()
    for own in described.properties:
        if own.identifier not in {*inherited, "rna_type", "name"}:
            yield from (own.name, own.description)
            for item in getattr(own, "enum_items_static", ()):
                yield from (item.name, item.description)


def test_without_languages_all_is_english(tmp_path, monkeypatch):
    """A Blender without translations enables the add-on, and shows English."""
    with panel.enabled(tmp_path / "home", monkeypatch):
        assert i18n.on_language_change in bpy.app.handlers.translation_update_post
        assert i18n.shown("Ready to be placed") == "Ready to be placed"
    assert i18n.on_language_change not in bpy.app.handlers.translation_update_post


@pytest.mark.parametrize("text", ["Refining Cube 42 %", "Sending 7 of 9", "2 refines running"])
def test_the_status_bar_keeps_its_percentage(text):
    """A percentage at the end of the status bar's text is no part of a sentence; in English nothing changes."""
    assert status_bar._in_language(text) == text


def test_a_dialog_s_sentence_is_wrapped(tmp_path, monkeypatch):
    """A sentence in a dialog takes as many lines as it needs, with one icon."""
    sentence = "The service may charge credits, and does not return them. " * 3
    with panel.enabled(tmp_path / "home", monkeypatch):
        drawn = []
        operator_base.note(StrictLayout(drawn), sentence)
    labels = [entry.arguments for entry in drawn if entry.what == "label"]
    assert " ".join(label["text"] for label in labels) == sentence.strip()
    assert len(labels) > 2
    assert [label["icon"] for label in labels] == ["INFO", *["BLANK1"] * (len(labels) - 1)]
