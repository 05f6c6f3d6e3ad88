"""Redaction of secrets and personal names in a text.

It removes keys and strings that look like keys, signatures, cookies, authorization headers, the part of URLs after the
host and e-mail addresses, and replaces the user's home folder by ``~``. The patterns are matched in the text with
percent-encoding and JSON escapes decoded, also nested ones; the matches are replaced in the original text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .models import Secret

TAKEN_OUT = "[taken out]"
Span = tuple[int, int]
Finding = tuple[int, int, str]
"""Start and end in the decoded text, and the replacement."""

_ENCODED = re.compile(r"((?:%[0-9a-f]{2})+)|\\u([0-9a-f]{4})|\\([\\/])", re.IGNORECASE)
_DEPTH = 6
"""Maximum number of nested encodings."""
_START = r"(?:(?<!\w)|(?<=\\[nrt]))"
_IS = r"\\?[\"']?\s*[=:]\s*b?"
_QUOTED = r"\\\"((?:(?!\\\")[^\r\n])*)\\\"|\"((?:\\.|[^\"\\\r\n])*)\"|'((?:\\.|[^'\\\r\n])*)'"
_URL = re.compile(r"\b(?!file:)[a-z][a-z0-9+.-]{0,30}://([^\s\"'<>\\]*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"([^\s/?#@]*@)?(?:[^\s/?#@:\[\]]*|\[[^\s/?#@\[\]]*\])(?::\d{0,5})?((?:[/?#].*)?)\Z", re.DOTALL)
_VALUES = (
    re.compile(
        rf"{_START}(?:sig|signature|se|st|sp|sr|sv|skoid|sktid|token|access_token|code_verifier|key|api[-_]?key|x-api-key"
        rf"|password|secret|x-amz-[a-z-]+|x-goog-[a-z-]+){_IS}(?:{_QUOTED}|\\?[\"']?([^\s&\"',;}}]+))",
        re.IGNORECASE,
    ),
    re.compile(
        rf"{_START}(?:(?:set-)?cookie2?|(?:proxy-)?authorization)(?:(?:{_IS}|[\"']\s*,\s*b?)(?:{_QUOTED})"
        rf"|{_IS}(\[[^\]\r\n]*\]|(?:=\"[^\",}}\]:\r\n]*\"|\\\"|[^\"\r\n])+))",
        re.IGNORECASE,
    ),
    re.compile(rf"{_START}(?:Bearer|Basic)[\s+]+([\w.~+/=-]{{8,}})", re.IGNORECASE),
    re.compile(r"(?<![\w.+-])([\w.+-]+@[\w-]+(?:\.[\w-]+)+)"),
    re.compile(rf"{_START}([0-9A-Za-z]{{32}})(?![0-9A-Za-z])"),
)
"""The groups of each are taken out."""
_NAME = r"[^/\\\"':;,<>|*?\r\n]"
_HOMES = re.compile(
    r"(?:/home/|/Users/|[a-z]:[\\/](?:Users|Documents[ +]and[ +]Settings)[\\/])"
    rf"(?:{_NAME}{{1,64}}?(?=[/\\\"'])|(?:(?!\s){_NAME})+)",
    re.IGNORECASE,
)
"""A name with spaces in it ends with the next slash or quote; without one, it is taken to end with the first space."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Removes secrets from a text. ``secrets`` are known secrets of any form; ``home`` is the user's home folder."""

    secrets: tuple[Secret, ...] = ()
    home: str = ""

    def __call__(self, text: str) -> str:
        """Return the text without secrets and personal names."""
        return _without(text, lambda plain: [*self._secrets(plain), *self._homes(plain)])

    def without_secrets(self, text: str) -> str:
        """Return the text without secrets, but with folders unchanged, for display to the user."""
        return _without(text, self._secrets)

    def _secrets(self, plain: str) -> list[Finding]:
        known = [re.compile(re.escape(secret.reveal())) for secret in self.secrets if secret]
        found = [each for pattern in (*known, *_VALUES) for each in _found(pattern, plain, TAKEN_OUT)]
        return [*found, *(each for url in _URL.finditer(plain) for each in _in_url(url))]

    def _homes(self, plain: str) -> list[Finding]:
        patterns = [_HOMES]
        if home := self.home.rstrip("/\\"):
            spelling = "".join("[ +]" if c == " " else r"[/\\]" if c in "/\\" else re.escape(c) for c in home)
            patterns.append(re.compile(rf"{spelling}(?![\w.-])", re.IGNORECASE))
        return [each for pattern in patterns for each in _found(pattern, plain, "~")]


def _without(text: str, find: Callable[[str], Sequence[Finding]]) -> str:
    """Replace the findings in the text and in each of its decodings."""
    findings = [
        (places[start][0], places[end - 1][1], instead)
        for plain, places in _decodings(text)
        for start, end, instead in find(plain)
    ]
    parts, at = [], 0
    for start, end, instead in _apart(findings):
        parts += [text[at:start], instead]
        at = end
    return "".join([*parts, text[at:]])


def _in_url(url: re.Match[str]) -> Iterator[Finding]:
    """Yield user name and password, and the part after the host; the whole URL if it cannot be split."""
    start = url.start(1)
    known = _AUTHORITY.match(url[1])
    user, rest = (known[1] or "", known[2]) if known else ("", url[1])
    if user:
        yield start, start + len(user), ""
    if rest.strip("/"):
        yield url.end() - len(rest), url.end(), f"/{TAKEN_OUT}" if known else TAKEN_OUT


def _found(pattern: re.Pattern[str], plain: str, instead: str) -> Iterator[Finding]:
    """Yield the matches of the pattern's groups, or whole matches if it has none."""
    for found in pattern.finditer(plain):
        for group in range(1, pattern.groups + 1) if pattern.groups else (0,):
            if found[group]:
                yield (*found.span(group), instead)


def _apart(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings in order; merge overlapping ones, with the replacement of the first."""
    merged: list[Finding] = []
    for start, end, instead in sorted(findings, key=lambda found: (found[0], -found[1])):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), before[2] or instead)
        else:
            merged.append((start, end, instead))
    return merged


def _decodings(text: str) -> Iterator[tuple[str, Sequence[Span]]]:
    """Yield the text, then repeatedly the text with one more level of encoding decoded, until none is left.

    Each comes with the span of each of its characters in the original text.
    """
    places: list[Span] = [(at, at + 1) for at in range(len(text))]
    yield text, places
    for _ in range(_DEPTH):
        parts, kept, at = [], list[Span](), 0
        for found in _ENCODED.finditer(text):
            plain = _meaning(found)
            parts += [text[at : found.start()], plain]
            kept += places[at : found.start()]
            width = len(found[0]) // len(plain)
            is_even = width * len(plain) == len(found[0])  # else, in UTF-8, each character stands for all of them
            for start in range(found.start(), found.start() + width * len(plain), width):
                first, last = (start, start + width - 1) if is_even else (found.start(), found.end() - 1)
                kept.append((places[first][0], places[last][1]))
            at = found.end()
        if not at:
            return
        text, places = "".join([*parts, text[at:]]), [*kept, *places[at:]]
        yield text, places


def _meaning(found: re.Match[str]) -> str:
    if found[1]:
        return bytes.fromhex(found[1].replace("%", "")).decode("utf-8", "replace")
    return chr(int(found[2], 16)) if found[2] else found[3]
