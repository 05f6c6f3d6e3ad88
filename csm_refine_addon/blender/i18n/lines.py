"""Line breaking of text, for scripts with and without spaces between words."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator


def wrap(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Break text into lines that fit: at spaces, between wide characters, and inside words that are too long.

    No line starts with a closing mark of East Asian scripts, or ends with an opening one.
    """
    lines = [""]
    for piece in _pieces(text):
        longer = lines[-1] + piece
        if fits(longer.strip()):
            lines[-1] = longer
            continue
        lines += _split_word(piece.strip(), fits)
    return [line.strip() for line in lines if line.strip()]


def columns(text: str) -> int:
    """Return the width of a text in columns of a monospaced font: wide characters take two."""
    return sum(2 if _is_wide(letter) else 1 for letter in text)


def _pieces(text: str) -> Iterator[str]:
    """Yield the parts between which a line may break; a space belongs to the part after it."""
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


def _split_word(word: str, fits: Callable[[str], bool]) -> list[str]:
    """Split a word that is too long, such as a path, into pieces that fit."""
    pieces = [""]
    for letter in word:
        if fits(pieces[-1] + letter) or not pieces[-1]:
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces
