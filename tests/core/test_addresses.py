"""Addresses: one reading, the same as urllib3's; what can be read in two ways is refused."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
import urllib3
from hypothesis import given, settings, strategies

from csm_refine_addon.core import addresses, validation
from csm_refine_addon.core.errors import CsmError, InputError
from csm_refine_addon.core.providers.transport import Transport

EVIL = "evil.example"


def connected_host(url: str, monkeypatch) -> str | None:
    """Return the host that a request to a URL connects to; None where it is refused before."""
    found = []

    def record(address, *_arguments, **_options):
        found.append(address[0])
        raise OSError("no connection is made here")

    with monkeypatch.context() as patch:
        patch.setattr(urllib3.util.connection, "create_connection", record)
        transport = Transport(lambda _address: None)
        with contextlib.suppress(CsmError):
            transport.within(5.0, lambda: transport.request("GET", url, timeout=1))
    assert len(set(found)) <= 1
    return found[0].lower() if found else None


@pytest.mark.parametrize(
    "text",
    [
        rf"http://{EVIL}:80\[::1]",
        rf"http://{EVIL}\@127.0.0.1",
        rf"http://127.0.0.1\@{EVIL}",
        rf"http://127.0.0.1\.{EVIL}",
        f"http://127.0.0.1@{EVIL}",
        f"http://[::1]@{EVIL}",
        f"http://{EVIL}#@[::1]",
        f"http://{EVIL}?@[::1]",
        f"http://[::1].{EVIL}",
        f"http://[::1]{EVIL}",
        f"http://{EVIL}[::1]",
        f"http://[{EVIL}]",
        "http://[[::1]]",
        "http://[::1",
        "http://::1",
        "http://[::1%25lo]",
        "http://[fe80::1%25eth0]",
        "http://[v1.x]",
        "http://[::ffff:127.0.0.1]",
        "http://[127.0.0.1]",
        "http://0x7f.1",
        "http://0x7f000001",
        "http://2130706433",
        "http://127.1",
        "http://127.0.1",
        "http://0177.0.0.1",
        "http://127.0.0.01",
        "http://127.0.0.1.",
        "http://127.0.0.1:",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:\u0661",
        "http://localhost.",
        "http://local%68ost",
        "http://127.0.0.1%2e" + EVIL,
        f"http://{EVIL}\t.127.0.0.1",
        "http://local\nhost",
        "http:// localhost",
        "http://localhost\x00",
        "http://local\u00a0host",
        "http://.localhost",
        "http://*.localhost",
        "http://a..localhost",
        "http:localhost",
        "http:/localhost",
        "http:///localhost",
        "//localhost",
        "httpx://localhost",
        "ftp://localhost",
    ],
)
def test_not_loopback(text, monkeypatch):
    """None of these counts as this machine, and none is a service's address, with plain http allowed or not."""
    assert not addresses.is_loopback(text)
    with pytest.raises(InputError) as caught:
        validation.service_address(text)
    assert caught.value.action


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://csm\u0430pi.example", "xn--csmpi-6ve.example"),
        ("https://ex\u00e4mple.com:8443/v2", "xn--exmple-cua.com"),
        ("https://\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
        ("https://127\u30020\u30020\u30021", "127.0.0.1"),
        ("https://\u24c1ocalhost", "localhost"),
        ("https://loca\u017fhost", "locashost"),
        ("https://\u212a.example", "k.example"),
    ],
)
def test_other_characters_are_asked_for(text, host):
    """A host that is not ASCII is refused with the form to type instead, which is taken."""
    assert not addresses.is_loopback(text)
    with pytest.raises(InputError, match=f"stands for {host}") as caught:
        validation.service_address(text)
    typed = caught.value.action.removeprefix("If you mean this host, write ").removesuffix(".")
    assert addresses.parse(validation.service_address(typed)).host == host


@pytest.mark.parametrize(
    "host", ["\u2028", "\u202e", "a\u200db", "\u00ad", "xn--\u0430", "\ud800", "[\u0661::1]", "\u00e4" * 80]
)
def test_other_characters_that_are_no_host(host):
    """What has no such form is a sentence, too."""
    with pytest.raises(InputError, match="not a URL"):
        validation.service_address(f"https://{host}")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8787", "HTTP://LOCALHOST/x", "http://[::1]:1", "http://[0:0::1]", "http://127.255.0.9"]
)
def test_loopback(url, monkeypatch):
    """The usual forms of this machine count, and urllib3 connects to them."""
    assert addresses.is_loopback(url)
    assert connected_host(url, monkeypatch) == addresses.parse(url).host


PIECES = (
    *(
        "127.0.0.1",
        "localhost",
        "[::1]",
        "::1",
        "::ffff:127.0.0.1",
        "0x7f.1",
        "2130706433",
        "127.1",
        EVIL,
        "a",
        "0",
        "80",
    ),
    *(
        "\\",
        "@",
        ":",
        "/",
        "//",
        "?",
        "#",
        "[",
        "]",
        "%",
        ".",
        "..",
        "-",
        "_",
        "*",
        "%25lo",
        "%00",
        "%5b",
        "%40",
        "&",
        "=",
    ),
    *(
        "\t",
        "\n",
        "\r",
        " ",
        "\x00",
        "\x0b",
        "\x7f",
        "\u00a0",
        "\u3002",
        "\uff0e",
        "\u24c1ocalhost",
        "\u212a",
        "\u0131",
    ),
)
AUTHORITIES = strategies.lists(strategies.sampled_from(PIECES) | strategies.text(max_size=3), max_size=6).map("".join)
URLS = strategies.builds(
    "{}{}{}".format,
    strategies.sampled_from(["http://", "https://", "HTTP://", "http:/", "http:", "http:\\\\", "//", ""]),
    AUTHORITIES,
    strategies.sampled_from(["", "/", "/path", "?x", "/image-to-3d-sessions/SESSION_1_2"]),
)


@given(url=URLS)
@settings(max_examples=1500, deadline=None)
def test_urllib3_connects_to_the_host_that_was_checked(url):
    """Whatever is taken as an address is what urllib3 connects to; what counts as loopback is loopback there."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        host = connected_host(url, patch)
    try:
        address = addresses.parse(url)
    except InputError:
        assert not addresses.is_loopback(url)
        return
    assert host == address.host
    assert addresses.is_loopback(url) == address.is_loopback
    assert not address.is_loopback or host == "localhost" or ipaddress.ip_address(host).is_loopback
