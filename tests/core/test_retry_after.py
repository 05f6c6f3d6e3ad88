"""How long a service asks for patience."""

from __future__ import annotations

import email.utils

import pytest

from csm_refine_addon.core.providers import retry_after
from tests.core.harness import NOON


def date(seconds: float) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("0", 0),
        ("9" * 400, float("inf")),
        (date(NOON + 90), 90),
        (date(NOON - 90), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 - NOON),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5.2", None),
        ("²", None),
        ("Mon, 99 Foo 2024", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_both_forms(asked, pause):
    """Seconds and dates, however far away; what is no time says nothing."""
    found = retry_after.seconds({"Retry-After": asked}, NOON)
    assert found == pause


def test_a_date_is_in_the_service_s_time():
    """Where the two clocks differ by a day, a date a minute ahead is a minute ahead."""
    headers = {"Retry-After": date(NOON + 86400 + 60), "Date": date(NOON + 86400)}
    assert retry_after.seconds(headers, NOON) == 60


def test_nothing_is_asked():
    """Without the header there is no pause."""
    assert retry_after.seconds({"Date": date(NOON)}, NOON) is None
