"""One language's table, and how an English sentence that was put together from parts is found in it. No Blender here.

A table is a JSON file: English text -> text. A text with parts that change has fields: ``{0} of {1}``. Core, journal
and logs know English only; a finished sentence such as ``3 MB of 12 MB`` is taken apart again where it is shown.
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
"""As Blender calls them."""
FIELD = re.compile(r"\{(\w+)\}")
MOST_KEPT = 4096
STRONG = 5
"""A template with fewer letters is found in many a sentence: “of” is taken between measures only."""
WIDE_ENDS = ("\N{IDEOGRAPHIC FULL STOP}", "\N{FULLWIDTH QUESTION MARK}", "\N{FULLWIDTH EXCLAMATION MARK}")
_AFTER_WIDE_END = re.compile(f"(?<=[{''.join(WIDE_ENDS)}]) ")
_NUMBERS = re.compile(r"[\d\s.,%-]*")
_MEASURES = re.compile(r"[\d.,]+ ?\w{0,5}( [\d.,]+ \w{1,5})?")
_SENTENCE_END = (".", "?", "!", "…")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.?!…]) ")


class Template(NamedTuple):
    """A text with fields, ready to be recognised."""

    text: str
    landmark: str
    """Its longest fixed part: quickly looked for before the pattern is tried, and made, which takes 0.1 ms."""
    quoted: frozenset[str]
    """Fields that stand in quotation marks: names that somebody gave, never translated."""
    is_weak: bool
    is_inner: bool
    """Whether it may be looked for in a field, too: a sentence, or one that begins small, as no name does."""
    translation: str


class Table:
    """The texts of one language."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.translated = functools.lru_cache(MOST_KEPT)(self._translated)

    @functools.cached_property
    def _templates(self) -> list[Template]:
        with_fields = [text for text in self.texts if FIELD.search(text)]
        with_fields.sort(key=lambda text: len(FIELD.sub("", text)), reverse=True)
        return [_template(text, self.texts[text]) for text in with_fields]

    def _translated(self, text: str) -> str:
        """Return the text in this language, sentence by sentence; what is not in the table stays English."""
        return self._whole(text) or self._in_sentences(text) or text

    def _whole(self, text: str) -> str | None:
        return self.texts.get(text) or self._by_template(text)

    def _in_sentences(self, text: str) -> str | None:
        """Return the longest known beginning translated, then the rest in the same way."""
        ends = [found.end() for found in _BETWEEN_SENTENCES.finditer(text)]
        for end in reversed(ends):
            first = self._whole(text[: end - 1])
            if first is not None:
                return joined(first, self.translated(text[end:]))
        return joined(text[: ends[0] - 1], self.translated(text[ends[0] :])) if ends else None

    def _by_template(self, text: str, *, inside: bool = False) -> str | None:
        for template in self._templates:
            if template.landmark not in text:
                continue
            found = _pattern(template.text).fullmatch(text)
            if found is None:
                continue
            values = found.groupdict()
            if _is_meant(template, values.values(), inside=inside):
                return self._filled(template, values)
        return None

    def _filled(self, template: Template, values: Mapping[str, str]) -> str:
        filled = {name: self._field(name, value, template) for name, value in values.items()}
        text = FIELD.sub(lambda field: filled["f" + field[1]], template.translation)
        return _AFTER_WIDE_END.sub("", text)

    def _field(self, name: str, value: str, template: Template) -> str:
        """Return what stands in a field; a name that a user gave stays, also where it is a word of ours."""
        text = value.strip()
        if name in template.quoted or not (" " in text or text.islower()):
            return value
        known = self.texts.get(text) or self._by_template(text, inside=True) or self._sentences(text)
        return value if known is None else value.replace(text, known)

    def _sentences(self, text: str) -> str | None:
        """Return sentences in a field; the template may have the last one's full stop."""
        if text.endswith(_SENTENCE_END):
            return self._in_sentences(text)
        known = self.texts.get(f"{text}.") or self._in_sentences(f"{text}.")
        return known.rstrip(".\N{IDEOGRAPHIC FULL STOP}") if known is not None else None


def joined(first: str, second: str) -> str:
    """Return two sentences side by side: with a space, but for scripts that have none."""
    return f"{first}{second}" if first.endswith(WIDE_ENDS) else f"{first} {second}"


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    """Return what recognises a text with fields; a field that comes twice has the same value twice."""
    fixed = FIELD.split(text)[::2]
    pattern = re.escape(fixed[0])
    for name, following in zip(FIELD.findall(text), fixed[1:], strict=True):
        pattern += (f"(?P=f{name})" if f"(?P<f{name}>" in pattern else f"(?P<f{name}>.*?)") + re.escape(following)
    return re.compile(pattern, re.DOTALL)


def _is_meant(template: Template, values: Iterable[str], *, inside: bool) -> bool:
    """Tell whether a text that a template fits was made with it, and not just happens to look so."""
    if template.is_weak:
        return all(map(_MEASURES.fullmatch, values))
    return not inside or template.is_inner or all(map(_NUMBERS.fullmatch, values))


def _template(text: str, translation: str) -> Template:
    fixed = FIELD.split(text)[::2]
    names = FIELD.findall(text)
    quoted = frozenset(f"f{name}" for name in names if f"“{{{name}}}”" in text)
    letters = "".join(filter(str.isalpha, "".join(fixed)))
    is_sentence = text.endswith(_SENTENCE_END) or (not fixed[-1] and fixed[-2].endswith(": "))
    is_weak = len(letters) < STRONG and not is_sentence
    is_inner = is_sentence or (letters[:1].islower() and not is_weak)
    return Template(text, max(fixed, key=len), quoted, is_weak, is_inner, translation)


def language_of(locale: str) -> str | None:
    """Return which of our languages is right for a locale of Blender's, or None: ``de_AT`` reads ``de_DE``."""
    if locale in LANGUAGES:
        return locale
    if locale.startswith("zh"):
        return "zh_HANS" if locale in ("zh", "zh_CN", "zh_SG", "zh_MY") else None
    return next((each for each in LANGUAGES if locale and each[:2] == locale.partition("_")[0]), None)


@functools.lru_cache(len(LANGUAGES))
def load(language: str) -> Table:
    """Return a language's table, read once, in some milliseconds."""
    return Table(json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8")))
