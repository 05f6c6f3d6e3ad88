"""Validation of user input before anything is sent: each function returns the clean value or raises CsmError."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from . import addresses
from .axes import PIVOT_LIMIT, Vector3
from .errors import InputError, KeyMissing
from .models import CSM_BASE_URL, LOCAL, Secret

_CODE = re.compile(r"SESSION_(?:P_)?\d+(?:_\d+)?", re.ASCII)
_NEAR_CODE = re.compile(r"session[_-]?\w*", re.IGNORECASE | re.ASCII)
_USUAL_KEY = re.compile(r"[0-9A-Za-z]{32}", re.ASCII)


def session_code(text: str) -> str:
    """Return the session code in a pasted code, API URL or mesh URL (CSM API reference).

    Of three numbers the first two are kept: the third names a variant's folder. Raises InputError.
    """
    found = _CODE.findall(text)
    if len(set(found)) > 1:
        raise InputError("There are several session codes in this text.", "Give one of them.")
    if found:
        return str(found[0])
    cure = "A code looks like SESSION_1689256797_6037625; a URL that holds one will do."
    if not text.strip():
        raise InputError("No session code was given.", cure)
    if _NEAR_CODE.search(text):
        raise InputError("The session code has an odd form.", cure)
    raise InputError("There is no session code in this text.", cure)


def scaled_bbox(values: Sequence[object]) -> Vector3:
    """Return width, height, depth as three finite numbers above zero. Raises InputError."""
    sides = _three_numbers(values, "The box needs three numbers: width, height, depth.")
    for name, side in zip(("width", "height", "depth"), sides, strict=True):
        if side <= 0:
            raise InputError(f"The box's {name} is {side:g}; it must be above zero.", "Give the box a thickness.")
    return sides


def pivot_point(values: Sequence[object]) -> Vector3:
    """Return a pivot point, each coordinate in [-0.5, 0.5]. Raises InputError."""
    pivot = _three_numbers(values, "The pivot needs three numbers: right, top, front.")
    for name, part in zip("XYZ", pivot, strict=True):
        if abs(part) > PIVOT_LIMIT:
            raise InputError(f"The pivot's {name} is {part:g}; it must lie between -0.5 and 0.5.", "0 is the centre.")
    return pivot


def service_address(text: str, *, allow_plain_http: bool = False) -> str:
    """Return :data:`~.models.LOCAL`, or the base URL that ``csm``, ``local`` or a URL stands for.

    Plain http is for loopback only, unless the user allowed it. Raises InputError.
    """
    text = text.strip().rstrip("/")
    if text.lower() == LOCAL:
        return LOCAL
    if text.lower() == "csm":
        return CSM_BASE_URL
    address = addresses.parse(text)
    if any(sign in address.rest for sign in "?# "):
        raise InputError("The service's address holds a query or a space.", "Give the address up to the path only.")
    if address.scheme == "http" and not address.is_loopback and not allow_plain_http:
        raise InputError(
            "The service's address is plain http to another machine: the key could be read on the way.",
            "Use https, or allow plain http in the preferences (--allow-http on the command line).",
        )
    return text


def api_key(text: str) -> Secret:
    """Return the key without surrounding spaces. Raises KeyMissing where it is empty or cannot be a header."""
    key = text.strip(" \t")
    if not key:
        raise KeyMissing("There is no API key.", "Set CSM_API_KEY, or give the key in the extension's preferences.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise KeyMissing(
            "The API key holds line breaks, spaces or other characters that no key has.", "Copy it again, alone."
        )
    return Secret(key)


def is_usual_key(key: Secret) -> bool:
    """Return whether a key has the vendor's usual form, 32 letters and digits: another form is worth a warning only."""
    return bool(_USUAL_KEY.fullmatch(key.reveal()))


def _three_numbers(values: Sequence[object], sentence: str) -> Vector3:
    if len(values) != 3:
        raise InputError(sentence, "Separate them by spaces.")
    numbers = [_number(value) for value in values]
    return (numbers[0], numbers[1], numbers[2])


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever float() does not take is refused below
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{value!r} is not a number.", "Use digits and a point.") from None
    if not math.isfinite(number):
        raise InputError(f"{value} is not a finite number.", "Use digits and a point.")
    return number
