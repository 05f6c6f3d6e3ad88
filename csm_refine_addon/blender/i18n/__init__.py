"""All that a user reads, in Blender's language.

What Blender shows as it stands (labels, descriptions, literal texts of layouts) it translates itself out of the table
that is registered here. What is put together from parts goes through :func:`shown` where it is shown, and nowhere else:
journal, logs and the command line speak English. Only the table of the language in use is read.
"""

from __future__ import annotations

import re
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import tables

CONTEXT = "CSM Refine"
"""Of our classes: Blender's own catalogue goes first, and has "Refine" in another sense in Japanese and Chinese."""
CONTEXTS = ("*", "Operator", CONTEXT)
_LETTER = re.compile(r"[^\W\d_]")


def shown(text: str, where: str = "interface") -> str:
    """Return a text in Blender's language; one that is not in its table, or no language of ours, stays English.

    ``where`` is what the user's preferences translate or leave: ``interface``, ``tooltips`` or ``reports``.
    """
    table = _in_use(where)
    return table.translated(text) if table is not None and _LETTER.search(text) else text


def in_report(text: str) -> str:
    """Return a text for an operator's report."""
    return shown(text, "reports")


def in_tooltip(text: str) -> str:
    """Return a text for a tooltip: a description, or why a button is grey."""
    return shown(text, "tooltips")


def _in_use(where: str) -> tables.Table | None:
    if bpy.app.background or not getattr(bpy.context.preferences.view, f"use_translate_{where}"):
        return None
    language = tables.language_of(bpy.app.translations.locale)
    return None if language is None else tables.load(language)


class _Given:
    locale = ""
    """Of the table that Blender has from us; empty: none."""


def _give(locale: str) -> None:
    """Have Blender know the table of this locale, and no other."""
    if locale == _Given.locale:
        return
    catalogues: Any = bpy.app.translations
    if _Given.locale:
        catalogues.unregister(__name__)
    language = tables.language_of(locale)
    _Given.locale = locale if language is not None else ""
    if language is not None:
        texts = tables.load(language).texts.items()
        catalogues.register(__name__, {locale: {(where, key): text for key, text in texts for where in CONTEXTS}})


@persistent
def on_language(*_arguments: Any) -> None:
    """Blender speaks another language, or says it in other places."""
    _give(bpy.app.translations.locale)


def add() -> None:
    """Give Blender the table of its language, now and whenever that changes."""
    bpy.app.handlers.translation_update_post.append(on_language)
    on_language()


def take_away() -> None:
    """Undo :func:`add`."""
    bpy.app.handlers.translation_update_post.remove(on_language)
    _give("")
