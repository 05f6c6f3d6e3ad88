"""Who is not meant to use the local service: other users of the machine, web pages, broken and hostile clients."""

from __future__ import annotations

import stat
from urllib.parse import urlsplit

import pytest
import requests

from tests.reliability.abusive_clients import DEADLINE_S, running
from tests.support import sample_meshes

REFINE = "/image-to-3d-sessions/get-3d/refine/SESSION_1689256797_6037625"
MESHES = "/local/sessions"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("strangers")) as started:
        yield started


@pytest.fixture(scope="module")
def file_url(service):
    """The signed address of a mesh."""
    headers = {"x-api-key": service.key}
    answer = requests.post(service.url + MESHES, data=sample_meshes.glb(), headers=headers, timeout=DEADLINE_S)
    return urlsplit(answer.json()["data"]["preview_mesh_url_glb"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/local/info", REFINE, MESHES, "/local/users/a", "/nothing", "*", "/%2e%2e/key"])
def test_without_the_key_all_addresses_look_the_same(service, method, path):
    """No route, and no method of one, can be told from an address that does not exist, and the connection ends."""
    (answer,) = service.send(service.head(method, path, x_api_key="k" * 32, connection="keep-alive"))
    (nothing,) = service.send(service.head(method, "/nothing/here", x_api_key="k" * 32))
    assert answer.status == 401
    assert "allow" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert answer.body == nothing.body


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"referer": "https://evil.example/page"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "same-origin"},
        {"host": "evil.example"},
        {"host": "127.0.0.1"},
        {"host": ""},
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_page_gets_nothing_with_the_key_and_the_signature_too(service, file_url, method, headers):
    """A page's request, its preflight, and a rebound name are refused by API and files, and nothing is allowed."""
    (answer,) = service.send(service.head(method, **headers, access_control_request_method="GET"))
    assert answer.status == 403
    file = f"{file_url.path}?{file_url.query}"
    (of_files,) = service.send(service.head(method, file, **{"host": file_url.netloc, **headers}), file_url.port)
    assert of_files.status in (403, 421)
    for refused in (answer, of_files):
        assert not any(name.startswith("access-control") for name in refused.headers)
        assert b"SESSION" not in refused.body


def test_what_the_user_opens_in_a_browser_is_no_pages(service, file_url):
    """A signed address that was put into the browser's address line is answered."""
    head = service.head("GET", f"{file_url.path}?{file_url.query}", host=file_url.netloc, sec_fetch_site="none")
    (answer,) = service.send(head, file_url.port)
    assert (answer.status, answer.body) == (200, sample_meshes.glb())


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ("transfer-encoding: identity", b"0\r\n\r\n"),
        ("transfer-encoding: gzip, chunked", b"0\r\n\r\n"),
        ("transfer-encoding : chunked", b"0\r\n\r\n"),
        ("transfer-encoding: \x0bchunked", b"0\r\n\r\n"),
        ("transfer-encoding: chunked", b"zz\r\n"),
        ("transfer-encoding: chunked", b"-5\r\nabcde\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", b"2;\x01\r\nab\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", b"2\r\nabc\r\n0\r\n\r\n"),
        ("content-length: -1", b""),
        ("content-length: +5", b"12345"),
        ("content-length: 0x5", b"12345"),
        ("content-length: 5.0", b"12345"),
        ("content-length:", b"12345"),
        ("content-length: 5, 5", b"12345"),
        ("content-length: 5\r\ncontent-length: 6", b"12345"),
        ("name: a\rb", b""),
        ("name: a\0b", b""),
        ("name with spaces: a", b""),
        ("no colon", b""),
        (" folded: into nothing", b""),
    ],
)
def test_what_can_be_read_in_two_ways_is_not_read_at_all(service, lines, body):
    """Doubtful lengths, codings and headers answer 400 or 501, and nothing behind them counts as a request."""
    method, _, rest = service.head("POST", MESHES).partition(b"\r\n")
    hidden = service.head("GET", "/local/info")
    answers = service.send(method + b"\r\n" + lines.encode("latin-1") + b"\r\n" + rest + body + hidden)
    assert [answer.status for answer in answers] in ([400], [501])


@pytest.mark.parametrize(
    "line",
    [
        "get /local/info HTTP/1.1",
        "GET  /local/info HTTP/1.1",
        "GET /a b HTTP/1.1",
        "\x16\x03\x01\x02",
    ],
)
def test_odd_first_lines_are_refused(service, line):
    """A broken line and another protocol answer 400."""
    _, _, rest = service.head().partition(b"\r\n")
    assert [answer.status for answer in service.send(line.encode("latin-1") + b"\r\n" + rest)] == [400]


def test_each_request_of_a_connection_needs_the_key(service):
    """A request behind a good one is refused as if it came alone."""
    answers = service.send(service.head() + service.head(x_api_key="") + service.head())
    assert [answer.status for answer in answers] == [200, 401]


def test_a_key_that_could_be_another_is_none(service):
    """A second key header, a name with an underscore, and a key in the query do not let in."""
    twice = service.head().replace(b"host:", b"x-api-key: other\r\nhost:", 1)
    underscore = service.head(x_api_key="").replace(b"host:", b"x_api_key: " + service.key.encode() + b"\r\nhost:", 1)
    query = service.head(path=f"/local/info?x-api-key={service.key}", x_api_key="")
    assert [service.send(data)[0].status for data in (twice, underscore, query)] == [401] * 3


def test_headers_have_an_end(service):
    """More than 16 KB of headers answer 431."""
    (answer,) = service.send(service.head(much="x" * 20_000))
    assert answer.status == 431


@pytest.mark.parametrize(
    "path",
    [
        "/../key",
        "/..%2fkey",
        "/%2e%2e/key",
        "/..\\key",
        "/%00",
        "//etc/passwd",
        "/C:/key",
        "/SESSION_1689256797_6037625/../../key",
        "/SESSION_1689256797_6037625/original/%2e%2e%2fkey.glb",
        "/" + "a" * 12_000,
        "/sessions.sqlite",
        "/signing-key",
    ],
)
@pytest.mark.parametrize("query", ["", "?sig=x", "?{0}", "?sp=r&sv=2024-08-04&sr=b&se=2099-01-01T00:00:00Z&sig=AAAA"])
def test_no_path_leaves_its_folder(service, file_url, path, query):
    """Files answer 403 to a path that was not signed, with another one's signature too; the API has no such path."""
    for host, port, refused in ((file_url.netloc, file_url.port, 403), (service.host, service.port, 404)):
        (answer,) = service.send(service.head("GET", path + query.format(file_url.query), host=host), port)
        assert answer.status == refused
        assert service.key.encode() not in answer.body


def test_a_chunked_body_is_limited_like_another(service):
    """Without a Content-Length, 64 KB of JSON are the limit too."""
    head = service.head("POST", REFINE, transfer_encoding="chunked")
    (good,) = service.send(head + b"2\r\n{}\r\n0\r\n\r\n")
    (large,) = service.send(head + b"11170\r\n" + b" " * 70_000 + b"\r\n0\r\n\r\n")
    assert (good.status, large.status) == (404, 413)


def test_a_body_that_ends_early_starts_nothing(service):
    """A body shorter than its Content-Length is never handed on."""
    before = len(list((service.folder / "sessions").iterdir()))
    mesh = sample_meshes.glb()
    assert service.send(service.head("POST", MESHES, content_length=str(len(mesh) + 1)) + mesh) == []
    assert len(list((service.folder / "sessions").iterdir())) == before


def test_a_mesh_above_the_limit_is_refused(tmp_path):
    """--mesh-limit holds, with a sentence for who has the key; a stranger's mesh is refused for its key."""
    with running(tmp_path, "--mesh-limit", "1") as service:
        mesh = b"v 0 0 0\n" * (3 << 16)
        (answer,) = service.send(service.head("POST", MESHES, content_length=str(len(mesh))) + mesh)
        assert (answer.status, "1 MB" in answer.message, "--mesh-limit" in answer.message) == (413, True, True)
        head = service.head("POST", MESHES, content_length=str(len(mesh)), x_api_key="")
        assert service.send(head + mesh)[0].status == 401
        assert service.send(service.head("POST", MESHES, content_length=str(9 << 20)))[0].status == 413


def test_what_fails_inside_tells_nothing(tmp_path):
    """A failure of the service's own answers 500 in the envelope; traceback, path and key stand in no answer."""
    with running(tmp_path) as service:
        (service.folder / "arriving").rmdir()
        (service.folder / "arriving").write_text("a file where a folder should be")
        mesh = sample_meshes.glb()
        (answer,) = service.send(service.head("POST", MESHES, content_length=str(len(mesh))) + mesh)
        assert (answer.status, "log" in answer.message) == (500, True)
        for told in (b"Traceback", b"arriving", str(service.folder).encode(), service.key.encode(), b".py"):
            assert told not in answer.body
        assert "FileExistsError" in (service.folder / "requests.log").read_text()
        assert not any(character.isdigit() for character in answer.headers["server"])


def test_files_are_their_owners_alone(service, file_url):
    """Nothing in the data folder can be read by other users of the machine."""
    rights = {path: stat.S_IMODE(path.stat().st_mode) for path in [service.folder, *service.folder.rglob("*")]}
    assert len(rights) > 5
    assert {path for path, mode in rights.items() if mode & 0o077} == set()
