"""Breaks a text into lines, in languages with spaces between words and in those without."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator


def broken(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return the text in lines that fit: broken at spaces and between wide characters, and inside a word too long.

    No line begins with a closing mark of East Asian scripts, or ends with an opening one.
    """
    lines = [""]
    for piece in _pieces(text):
        longer = lines[-1] + piece
        if fits(longer.strip()):
            lines[-1] = longer
            continue
        lines += _cut(piece.strip(), fits)
    return [line.strip() for line in lines if line.strip()]


def columns(text: str) -> int:
    """Return how many columns a text takes in a font with fixed width: a wide character takes two."""
    return sum(2 if _is_wide(letter) else 1 for letter in text)


def _pieces(text: str) -> Iterator[str]:
    """Yield the parts between which a line may end; a space stands at the beginning of the part after it."""
    piece = ""
    for letter in " ".join(text.split()):
        if piece and _may_break(piece[-1], letter):
            yield piece
            piece = ""
        piece += letter
    yield piece


def _may_break(before: str, after: str) -> bool:
    if after == " ":
        return True
    if before == " " or not (_is_wide(before) or _is_wide(after)):
        return False
    return unicodedata.category(after) not in ("Pe", "Pf", "Po", "Lm") and unicodedata.category(before) not in (
        "Ps",
        "Pi",
    )


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in ("W", "F")


def _cut(word: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a word in pieces that fit; a path has no spaces."""
    pieces = [""]
    for letter in word:
        if fits(pieces[-1] + letter) or not pieces[-1]:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces
