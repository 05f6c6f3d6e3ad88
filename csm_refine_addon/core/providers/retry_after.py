"""Parser of the ``Retry-After`` header (RFC 9110, 10.2.3)."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import UTC


def seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return the pause that an answer's headers ask for, at least 0; None where they ask for none that is a time.

    A date is compared with the answer's own ``Date``, since the two machines' clocks may differ; ``now`` (seconds
    since 1970) stands in for it. The pause may be absurdly long: who waits bounds it.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    until = _moment(asked)
    if until is None:
        return None
    said = _moment(headers.get("Date", ""))
    return max(0.0, until - (now if said is None else said))


def _moment(text: str) -> float | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
