"""The mesh origin: signatures that expire, ranges, entity tags."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from hypothesis import example, given, strategies

from csm_refine_addon.core.models import Secret
from csm_refine_addon.service.auth import HostCheck
from csm_refine_addon.service.mesh_server import ByteRange, MeshServer, parse_range
from csm_refine_addon.service.signed_urls import LIFETIME_S, STEP_S, SignedUrls
from tests.support import sample_meshes


@pytest.fixture(scope="module")
def url(service):
    """The signed address of a user's own mesh."""
    return service.session(service.create())["preview_mesh_url_glb"]


def get(url, **headers):
    return requests.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=10)


def is_refused(answer, status, code) -> bool:
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.text.startswith("<?xml")
    return answer.status_code == status and f"<Code>{code}</Code>" in answer.text


def test_files_stand_on_another_origin_and_want_no_key(service, url):
    """The address is of another port than the API's and carries the query of a signed blob."""
    assert urlsplit(url).netloc != urlsplit(service.url).netloc
    assert set(parse_qs(urlsplit(url).query)) == {"se", "sp", "sv", "sr", "sig"}
    answer = get(url)
    assert answer.content == sample_meshes.glb()
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_ranges_go_on_where_a_download_broke_off(url):
    """One range gives 206 with that part; a stale If-Range gives the whole file; a range beyond the end gives 416."""
    whole = get(url)
    size, tag = len(whole.content), whole.headers["ETag"]
    part = get(url, Range="bytes=100-", If_Range=tag)
    assert (part.status_code, part.content) == (206, whole.content[100:])
    assert part.headers["Content-Range"] == f"bytes 100-{size - 1}/{size}"
    assert get(url, Range="bytes=0-9").content == whole.content[:10]
    assert get(url, Range="bytes=-7").content == whole.content[-7:]
    dated = get(url, Range="bytes=5-9", If_Range=whole.headers["Last-Modified"])
    assert dated.status_code == 206
    stale = get(url, Range="bytes=100-", If_Range='"other"')
    assert (stale.status_code, len(stale.content)) == (200, size)
    beyond = get(url, Range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


def test_a_known_file_is_not_sent_again(url):
    """If-None-Match with the file's tag answers 304; HEAD sends headers alone."""
    tag = get(url).headers["ETag"]
    assert get(url, If_None_Match=tag).status_code == 304
    head = requests.head(url, timeout=10)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(sample_meshes.glb())


@pytest.mark.parametrize(
    ("change", "to"), [("sig=", "sig=A"), ("se=2", "se=3"), ("sp=r", "sp=w"), ("mesh.glb", "mesh.obj"), ("?", "?x")]
)
def test_a_changed_address_is_refused(url, change, to):
    """Whatever is changed in the path or query, the answer is 403 with an XML body."""
    assert is_refused(get(url.replace(change, to, 1)), 403, "AuthenticationFailed")


def test_an_expired_address_is_refused(service, url):
    """An address signed with the service's own key, but an hour and more ago, answers 403 with an XML body."""
    secret = Secret((service.folder / "signing-key").read_text())
    parts = urlsplit(url)
    signed_then = SignedUrls(secret, parts.port, clock=lambda: 1.7e9).url("127.0.0.1", parts.path)
    assert is_refused(get(signed_then), 403, "AuthenticationFailed")


def test_only_signed_files_can_be_read(service, url):
    """Other paths answer 403 even where they exist, a signed path without a file 404, and another method 405."""
    origin = f"http://{urlsplit(url).netloc}"
    for path in ("/", "/sessions.sqlite", "/../key", "/%2e%2e/key", "/SESSION_1689256797_6037625/original/mesh.glb"):
        assert is_refused(get(origin + path), 403, "AuthenticationFailed")
    links = SignedUrls(Secret((service.folder / "signing-key").read_text()), urlsplit(url).port)
    missing = links.url("127.0.0.1", "/SESSION_1689256797_6037625/original/mesh.glb")
    assert is_refused(get(missing), 404, "BlobNotFound")
    assert is_refused(requests.post(url, timeout=10), 405, "UnsupportedHttpVerb")
    assert is_refused(get(url, Host="evil.example"), 421, "InvalidHost")


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A mesh origin without a server, and the path and signed query of its one file, of ten bytes."""
    path, folder = "/SESSION_1689256797_6037625/original/mesh.glb", tmp_path_factory.mktemp("origin")
    (folder / path[1:]).parent.mkdir(parents=True)
    (folder / path[1:]).write_bytes(b"0123456789")
    links = SignedUrls(Secret("k"), 80)
    return MeshServer(folder, links, HostCheck("127.0.0.1", 80)), path, urlsplit(links.url("h", path)).query


ON_THE_WIRE = strategies.text(strategies.characters(max_codepoint=255), max_size=60)
DATES = strategies.builds(
    "{}, {:02} Jan {:04} 00:00:0{} {}".format, *[ON_THE_WIRE, *[strategies.integers(-1, 9999)] * 3, ON_THE_WIRE]
)


@given(ON_THE_WIRE, ON_THE_WIRE | DATES, ON_THE_WIRE, ON_THE_WIRE)
@example("bytes=0-", "Mon, 01 Jan 2001 00:00:00 +99999999999999999", "", "")
@example("bytes=-" + "9" * 18, "Fri, 31 Dec 9999 23:59:59 -2359", "", "")
def test_no_header_makes_it_fail(origin, ranges, condition, tag, more):
    """Whatever stands in the headers and behind the signature, the answer is a part, the whole, or a refusal."""
    files, path, query = origin
    statuses = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query + more,
        "HTTP_HOST": "127.0.0.1:80",
        "HTTP_RANGE": ranges,
        "HTTP_IF_RANGE": condition,
        "HTTP_IF_NONE_MATCH": tag,
        "wsgi.file_wrapper": lambda file: file.close() or [],
    }
    files(environ, lambda status, headers: statuses.append(status[:3]))
    assert statuses[0] in ("200", "206", "403", "416")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=2-", ByteRange(2, 8)),
        ("bytes=2-99", ByteRange(2, 8)),
        ("bytes=-3", ByteRange(7, 3)),
        ("bytes=-99", ByteRange(0, 10)),
        ("bytes=5-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_a_range_is_understood_or_ignored(header, expected):
    """One range in bytes is a part of ten bytes; anything else asks for the whole file."""
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0"])
def test_a_range_outside_is_an_error(header):
    """A range that holds no byte of the file cannot be answered."""
    with pytest.raises(ValueError, match="bytes"):
        parse_range(header, 10)


def test_signatures_hold_for_an_hour_and_not_for_much_longer():
    """An address is the same within a step, good for the lifetime, and refused after lifetime and step."""
    now = [1_700_000_100.0]
    links = SignedUrls(Secret("k"), 1, clock=lambda: now[0])
    url = links.url("h", "/p")
    query = dict(parse_qsl(urlsplit(url).query))
    now[0] += 10
    assert links.url("h", "/p") == url
    now[0] += LIFETIME_S - 10
    assert links.allows("/p", query)
    assert not links.allows("/q", query)
    assert not SignedUrls(Secret("other"), 1, clock=lambda: now[0]).allows("/p", query)
    now[0] += STEP_S
    assert not links.allows("/p", query)
