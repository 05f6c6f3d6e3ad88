"""What a user types is understood or refused with a sentence, before anything is sent."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, strategies as st

from csm_refine_addon.core import addresses, validation
from csm_refine_addon.core.errors import InputError, KeyMissing
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL, Secret

CODE = "SESSION_1689256797_6037625"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (CODE, CODE),
        (f"  {CODE}\n", CODE),
        (f"“{CODE}”", CODE),
        ("SESSION_P_44569824122", "SESSION_P_44569824122"),
        (f"https://api.csm.ai/image-to-3d-sessions/get-3d/refine/{CODE}?x=1", CODE),
        (f"https://store.example/a%40b/{CODE}/mesh.glb?sig=%2Fx", CODE),
        (f"{CODE}_0", CODE),
        (f"https://store.example/{CODE}_3/{CODE}_3.zip", CODE),
        (f"https://x.example/{CODE}/{CODE}/mesh.obj", CODE),
        ("SESSION_1689256797", "SESSION_1689256797"),
    ],
)
def test_code_is_found(text, code):
    """A code is found in whatever contains it; of three numbers the first two are kept."""
    assert validation.session_code(text) == code


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "No session code"),
        (" \n", "No session code"),
        ("a bench", "no session code"),
        ("https://api.csm.ai/", "no session code"),
        ("session_1689256797_6037625", "odd form"),
        ("SESSION-1689256797-6037625", "odd form"),
        ("SESSION_", "odd form"),
        ("SESSION_X_44569824122", "odd form"),
        ("SESSION_\uff11\uff16\uff18\uff19", "odd form"),
        (f"{CODE} SESSION_1_2", "several"),
    ],
)
def test_code_is_not_found(text, sentence):
    """What holds no code, an odd one, or several, is refused with a sentence that says which it is."""
    with pytest.raises(InputError, match=sentence) as caught:
        validation.session_code(text)
    assert caught.value.action


@given(st.text())
def test_any_text_has_a_code_or_a_sentence(text):
    """No text breaks the search."""
    with contextlib.suppress(InputError):
        assert validation.session_code(text) in text


BAD_NUMBERS = [math.nan, math.inf, -math.inf, "nan", "-inf", "1e999", "", "one", "1,5", None, [], 10**400]


@pytest.mark.parametrize("bad", [0, -0.0, -1, "0", "-2", *BAD_NUMBERS], ids=lambda bad: repr(bad)[:12])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_bad_sides(bad, place):
    """Zero, negative, NaN, infinite, or no number: each side is refused."""
    sides = [1.0, 2.0, 3.0]
    sides[place] = bad
    with pytest.raises(InputError):
        validation.scaled_bbox(sides)


@pytest.mark.parametrize("bad", [0.5001, -0.51, 3, "0.6", *BAD_NUMBERS], ids=lambda bad: repr(bad)[:12])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_bad_pivots(bad, place):
    """Beyond half a box, NaN, infinite, or no number: each coordinate is refused."""
    pivot = [0.0, 0.0, 0.0]
    pivot[place] = bad
    with pytest.raises(InputError):
        validation.pivot_point(pivot)


@pytest.mark.parametrize("check", [validation.scaled_bbox, validation.pivot_point])
@pytest.mark.parametrize("values", [[], ["0.5"], [0.5] * 2, [0.5] * 4])
def test_three_numbers(check, values):
    """Two or four numbers are no box and no pivot."""
    with pytest.raises(InputError, match="three numbers"):
        check(values)


def test_good_numbers():
    """Text and numbers are taken as they stand, limits included."""
    assert validation.scaled_bbox(["1e-3", 2, 0.5]) == (0.001, 2.0, 0.5)
    assert validation.pivot_point(["-0.5", "0.5", "-1e-05"]) == (-0.5, 0.5, -1e-05)


def test_a_bad_side_is_named():
    """The sentence says which side, and what it is."""
    with pytest.raises(InputError, match="height is -2"):
        validation.scaled_bbox([1, -2, 3])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("csm", CSM_BASE_URL),
        (" CSM ", CSM_BASE_URL),
        ("local", LOCAL),
        ("Local", LOCAL),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com/v2/", "https://api.example.com/v2"),
        ("https://api.example.com:8443", "https://api.example.com:8443"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://LOCALHOST", "http://LOCALHOST"),
        ("http://[::1]:8787/", "http://[::1]:8787"),
        ("http://127.9.9.9", "http://127.9.9.9"),
    ],
)
def test_good_addresses(text, address):
    """Names, https addresses, and plain http on this machine are taken."""
    assert validation.service_address(text) == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not a URL"),
        ("api.example.com", "not a URL"),
        ("127.0.0.1:8787", "not a URL"),
        ("ftp://api.example.com", "not a URL"),
        ("file:///etc", "not a URL"),
        ("https://", "not a URL"),
        ("https:///path", "not a URL"),
        ("https://exa mple.com", "not a URL"),
        ("https://exam\nple.com", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://api.example.com:99999", "not a URL"),
        ("https://me:pass@api.example.com", "name or password"),
        ("https://me@api.example.com", "name or password"),
        ("https://@api.example.com", "name or password"),
        ("https://api.example.com/?key=1", "query"),
        ("https://api.example.com/#x", "query"),
        ("http://api.example.com", "plain http"),
        ("http://192.168.0.4:8787", "plain http"),
        ("http://0.0.0.0:8787", "plain http"),
        ("http://localhost.example.com", "plain http"),
        ("http://127.0.0.1.example.com", "plain http"),
    ],
)
def test_bad_addresses(text, sentence):
    """No scheme, credentials, a query, or plain http to another machine: each has its sentence."""
    with pytest.raises(InputError, match=sentence) as caught:
        validation.service_address(text)
    assert caught.value.action
    assert "pass" not in caught.value.message.replace("password", "")


def test_plain_http_may_be_allowed():
    """The user's switch lets plain http through, and nothing else that is wrong."""
    assert validation.service_address("http://10.0.0.4:8787", allow_plain_http=True) == "http://10.0.0.4:8787"
    with pytest.raises(InputError):
        validation.service_address("http://me:pass@10.0.0.4", allow_plain_http=True)


@pytest.mark.parametrize(
    ("address", "stays"),
    [
        (LOCAL, True),
        ("http://localhost:8787", True),
        ("https://127.0.0.1/x?y", True),
        ("http://[::1]/", True),
        ("http://127.0.0.1@evil.example/", False),
        ("http://localhost@evil.example/", False),
        ("http://[::1", False),
        ("https://api.csm.ai", False),
        ("", False),
    ],
)
def test_loopback(address, stays):
    """Only what surely stays on this machine counts as such; no text breaks the question."""
    assert addresses.is_loopback(address) is stays


@pytest.mark.parametrize("text", ["", " ", "\t", "a\nb", "abc\n", "a b", "abc\r\n", "schlüssel", "a\x00b"])
def test_bad_keys(text):
    """Empty keys, and such that could not be a header, are refused without being repeated."""
    with pytest.raises(KeyMissing) as caught:
        validation.api_key(text)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_keys():
    """Spaces around a key go; an unusual one is taken, and known as unusual."""
    key = validation.api_key("  0123456789abcdefABCDEF0123456789 ")
    assert key == Secret("0123456789abcdefABCDEF0123456789")
    assert validation.is_usual_key(key)
    assert not validation.is_usual_key(validation.api_key("sk-short"))
    assert "0123" not in repr(key) + str(key) + f"{key}"
