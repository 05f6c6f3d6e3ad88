"""Translation tables, and translation of composed English sentences by templates. Does not import bpy.

A table is a JSON file that maps English text to its translation. Text with variable parts has fields: ``{0} of {1}``.
The core, the job store and the logs hold English text, so a composed sentence such as ``3 MB of 12 MB`` is matched
against these templates when it is displayed.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
LANGUAGES = ("zh_HANS", "ja_JP", "de_DE", "fr_FR", "es")
"""Blender's locale names."""
FIELD = re.compile(r"\{(\w+)\}")
CACHE_SIZE = 4096
MIN_LETTERS = 5
"""A template with fewer letters, such as “of”, matches many sentences, so its fields must be measures."""
WIDE_ENDS = ("\N{IDEOGRAPHIC FULL STOP}", "\N{FULLWIDTH QUESTION MARK}", "\N{FULLWIDTH EXCLAMATION MARK}")
_AFTER_WIDE_END = re.compile(f"(?<=[{''.join(WIDE_ENDS)}]) ")
_NUMBERS = re.compile(r"[\d\s.,%-]*")
_MEASURES = re.compile(r"[\d.,]+ ?\w{0,5}( [\d.,]+ \w{1,5})?")
_SENTENCE_END = (".", "?", "!", "…")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.?!…]) ")


class Template(NamedTuple):
    """A text with fields, prepared for matching."""

    text: str
    landmark: str
    """Its longest fixed part, a fast test before the pattern is compiled, which takes 0.1 ms."""
    quoted: frozenset[str]
    """Fields in quotation marks: user-given names, which are never translated."""
    is_weak: bool
    is_inner: bool
    """Whether it may also match inside a field: it is a sentence, or starts in lower case, unlike names."""
    translation: str


class Table:
    """The texts of one language."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.translated = functools.lru_cache(CACHE_SIZE)(self._translate)

    @functools.cached_property
    def _templates(self) -> list[Template]:
        with_fields = [text for text in self.texts if FIELD.search(text)]
        with_fields.sort(key=lambda text: len(FIELD.sub("", text)), reverse=True)
        return [_template(text, self.texts[text]) for text in with_fields]

    def _translate(self, text: str) -> str:
        """Translate a text sentence by sentence; sentences that are not in the table stay English."""
        return self._translate_whole(text) or self._translate_sentences(text) or text

    def _translate_whole(self, text: str) -> str | None:
        return self.texts.get(text) or self._by_template(text)

    def _translate_sentences(self, text: str) -> str | None:
        """Translate the longest known beginning, then the rest in the same way."""
        ends = [found.end() for found in _BETWEEN_SENTENCES.finditer(text)]
        for end in reversed(ends):
            first = self._translate_whole(text[: end - 1])
            if first is not None:
                return join_sentences(first, self.translated(text[end:]))
        return join_sentences(text[: ends[0] - 1], self.translated(text[ends[0] :])) if ends else None

    def _by_template(self, text: str, *, inside: bool = False) -> str | None:
        for template in self._templates:
            if template.landmark not in text:
                continue
            found = _pattern(template.text).fullmatch(text)
            if found is None:
                continue
            values = found.groupdict()
            if _is_plausible(template, values.values(), inside=inside):
                return self._fill(template, values)
        return None

    def _fill(self, template: Template, values: Mapping[str, str]) -> str:
        filled = {name: self._translate_field(name, value, template) for name, value in values.items()}
        text = FIELD.sub(lambda field: filled["f" + field[1]], template.translation)
        return _AFTER_WIDE_END.sub("", text)

    def _translate_field(self, name: str, value: str, template: Template) -> str:
        """Translate a field's value; a user-given name stays, even if it equals a text in the table."""
        text = value.strip()
        if name in template.quoted or not (" " in text or text.islower()):
            return value
        known = self.texts.get(text) or self._by_template(text, inside=True) or self._sentences(text)
        return value if known is None else value.replace(text, known)

    def _sentences(self, text: str) -> str | None:
        """Translate sentences in a field; the full stop of the last one may belong to the template."""
        if text.endswith(_SENTENCE_END):
            return self._translate_sentences(text)
        known = self.texts.get(f"{text}.") or self._translate_sentences(f"{text}.")
        return known.rstrip(".\N{IDEOGRAPHIC FULL STOP}") if known is not None else None


def join_sentences(first: str, second: str) -> str:
    """Join two sentences, with a space unless the script has none."""
    return f"{first}{second}" if first.endswith(WIDE_ENDS) else f"{first} {second}"


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    """Return the regular expression of a text with fields; a repeated field must have the same value."""
    fixed = FIELD.split(text)[::2]
    pattern = re.escape(fixed[0])
    for name, following in zip(FIELD.findall(text), fixed[1:], strict=True):
        pattern += (f"(?P=f{name})" if f"(?P<f{name}>" in pattern else f"(?P<f{name}>.*?)") + re.escape(following)
    return re.compile(pattern, re.DOTALL)


def _is_plausible(template: Template, values: Iterable[str], *, inside: bool) -> bool:
    """Return whether a text that matches a template was composed with it, by the values of its fields."""
    if template.is_weak:
        return all(map(_MEASURES.fullmatch, values))
    return not inside or template.is_inner or all(map(_NUMBERS.fullmatch, values))


def _template(text: str, translation: str) -> Template:
    fixed = FIELD.split(text)[::2]
    names = FIELD.findall(text)
    quoted = frozenset(f"f{name}" for name in names if f"“{{{name}}}”" in text)
    letters = "".join(filter(str.isalpha, "".join(fixed)))
    is_sentence = text.endswith(_SENTENCE_END) or (not fixed[-1] and fixed[-2].endswith(": "))
    is_weak = len(letters) < MIN_LETTERS and not is_sentence
    is_inner = is_sentence or (letters[:1].islower() and not is_weak)
    return Template(text, max(fixed, key=len), quoted, is_weak, is_inner, translation)


def language_of(locale: str) -> str | None:
    """Return the table's language for a Blender locale, or None; ``de_AT`` uses ``de_DE``."""
    if locale in LANGUAGES:
        return locale
    if locale.startswith("zh"):
        return "zh_HANS" if locale in ("zh", "zh_CN", "zh_SG", "zh_MY") else None
    return next((each for each in LANGUAGES if locale and each[:2] == locale.partition("_")[0]), None)


@functools.lru_cache(len(LANGUAGES))
def load(language: str) -> Table:
    """Load a language's table; cached, because reading takes some milliseconds."""
    return Table(json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8")))
