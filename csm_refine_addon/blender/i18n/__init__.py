"""Translation of user-visible text into Blender's language.

Blender translates fixed text (labels, descriptions, literals in layouts) with the table that this module registers.
Composed text is translated by :func:`shown` where it is displayed, and only there: the job store, logs and the command
line are in English. Only the table of the current language is loaded.
"""

from __future__ import annotations

import re
from typing import Any

import bpy
from bpy.app.handlers import persistent

from . import tables

CONTEXT = "CSM Refine"
"""Translation context of this extension: Blender's own catalogue has "Refine" in another sense in ja and zh."""
CONTEXTS = ("*", "Operator", CONTEXT)
_LETTER = re.compile(r"[^\W\d_]")


def shown(text: str, where: str = "interface") -> str:
    """Translate a text into Blender's language; return it unchanged if there is no translation.

    ``where`` selects the translation preference to follow: ``interface``, ``tooltips`` or ``reports``.
    """
    table = _in_use(where)
    return table.translated(text) if table is not None and _LETTER.search(text) else text


def in_report(text: str) -> str:
    """Translate the text of an operator's report."""
    return shown(text, "reports")


def in_tooltip(text: str) -> str:
    """Translate the text of a tooltip: a description, or why a button is disabled."""
    return shown(text, "tooltips")


def _in_use(where: str) -> tables.Table | None:
    if bpy.app.background or not getattr(bpy.context.preferences.view, f"use_translate_{where}"):
        return None
    language = tables.language_of(bpy.app.translations.locale)
    return None if language is None else tables.load(language)


class _Registered:
    locale = ""
    """Locale of the registered table; empty if none is registered."""


def _register_table(locale: str) -> None:
    """Register the table of this locale with Blender in place of the previous one."""
    if locale == _Registered.locale:
        return
    catalogues: Any = bpy.app.translations
    if _Registered.locale:
        catalogues.unregister(__name__)
    language = tables.language_of(locale)
    _Registered.locale = locale if language is not None else ""
    if language is not None:
        texts = tables.load(language).texts.items()
        catalogues.register(__name__, {locale: {(where, key): text for key, text in texts for where in CONTEXTS}})


@persistent
def on_language_change(*_arguments: Any) -> None:
    """Update the registered table after a change of Blender's language preferences."""
    _register_table(bpy.app.translations.locale)


def register() -> None:
    """Register the table of Blender's language, now and after each change."""
    bpy.app.handlers.translation_update_post.append(on_language_change)
    on_language_change()


def unregister() -> None:
    """Undo :func:`register`."""
    bpy.app.handlers.translation_update_post.remove(on_language_change)
    _register_table("")
