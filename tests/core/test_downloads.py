"""Downloads against a real storage: how one goes on, where it begins anew, and where it ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from csm_refine_addon.core import errors, limits
from csm_refine_addon.core.models import RefineRequest, Secret
from csm_refine_addon.core.providers import downloads
from csm_refine_addon.core.providers.client import Client
from csm_refine_addon.core.providers.downloads import SignatureExpired
from csm_refine_addon.core.providers.transport import NotConnected
from tests.core.clients import assert_no_secret, closed_port, download
from tests.support.api_server import ACCOUNT, CODE, KEY, Answer, session_2024

LARGE = b"v 0 0 0\n" * 200_000
REQUEST = RefineRequest(CODE, (2.0, 1.0, 0.5), (0.0, -0.5, 0.0))


@pytest.fixture
def large(api):
    api.storage.put("mesh.obj", LARGE, '"large"')


@pytest.mark.usefixtures("large")
def test_a_download(api, client, tmp_path):
    """The file comes whole, with its progress in bytes, and leaves nothing beside it."""
    told = []
    assert download(client, api, tmp_path / "part", lambda done, total: told.append((done, total))) == LARGE
    assert told[0] == (0, len(LARGE))
    assert told[-1] == (len(LARGE), len(LARGE))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert api.storage.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.usefixtures("large")
def test_a_cut_download_goes_on(api, client, tmp_path):
    """The next attempt asks for the rest of the same file, and gets it."""
    part, told = tmp_path / "part", []
    api.storage.script = [Answer(cut_after=900_000)]
    with pytest.raises(errors.ServiceUnreachable) as caught:
        download(client, api, part)
    assert_no_secret(caught.value)
    there = part.stat().st_size
    assert 0 < there <= 900_000
    assert download(client, api, part, lambda done, total: told.append((done, total))) == LARGE
    asked = api.storage.seen[1].headers
    assert (asked["range"], asked["if-range"]) == (f"bytes={there}-", '"large"')
    assert told[0] == (there, len(LARGE))


@pytest.mark.parametrize("only_from", [False, True], ids=["knows If-Range", "knows it not"])
@pytest.mark.usefixtures("large")
def test_another_file_begins_anew(api, client, tmp_path, only_from):
    """Where the file has changed meanwhile, no two halves are put together."""
    part, other = tmp_path / "part", LARGE.replace(b"0", b"1") + b"v 9 9 9\n"
    api.storage.script = [Answer(cut_after=900_000), Answer(only_from=only_from)]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    api.storage.put("mesh.obj", other, '"other"')
    if only_from:
        with pytest.raises(errors.ServiceUnreachable, match="another file"):
            download(client, api, part)
    assert download(client, api, part) == other


@pytest.mark.usefixtures("large")
def test_a_part_that_is_whole_already(api, client, tmp_path):
    """After a crash between the last byte and the end, the next attempts come to an end (416)."""
    part = tmp_path / "part"
    part.write_bytes(LARGE)
    part.with_name("part.etag").write_text('"large"')
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    assert download(client, api, part) == LARGE


@pytest.mark.parametrize("headers", [{"ETag": 'W/"weak"'}, {"ETag": ""}], ids=["weak", "none"])
@pytest.mark.usefixtures("large")
def test_without_a_strong_tag_it_begins_anew(api, client, tmp_path, headers):
    """A storage that cannot say whether it is the same file is asked for the whole again."""
    part = tmp_path / "part"
    api.storage.script = [Answer(cut_after=900_000, headers=headers)]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    assert download(client, api, part) == LARGE
    assert "range" not in api.storage.seen[1].headers


@pytest.mark.parametrize("answer", [Answer(206, b"v 1 1 1\n", {"Content-Range": "bytes 5-12/13"})])
@pytest.mark.usefixtures("large")
def test_a_piece_that_nobody_asked_for(api, client, tmp_path, answer):
    """A partial answer to a whole question is not taken for the file."""
    api.storage.script = [answer]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, tmp_path / "part")
    assert download(client, api, tmp_path / "part") == LARGE


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_address(api, client, tmp_path, status):
    """The storage's refusal says that a new address is needed; its XML is not taken for a mesh."""
    api.storage.script = [Answer(status, b"<?xml version='1.0'?><Error>sig=s1gnature</Error>")]
    with pytest.raises(SignatureExpired) as caught:
        download(client, api, tmp_path / "part")
    assert_no_secret(caught.value)
    assert not (tmp_path / "part").exists()


def test_a_real_signature_runs_out(api, client, tmp_path):
    """An address that was good expires; the next one from the session is good again."""
    api.before = [session_2024("refine_done", "mesh.obj")]
    old = client.read_session(CODE).best_mesh()
    api.storage.expire()
    with pytest.raises(SignatureExpired):
        client.download(old, tmp_path / "part", lambda done, total: None)
    client.download(client.read_session(CODE).best_mesh(), tmp_path / "part", lambda done, total: None)


@pytest.mark.parametrize("answer", [Answer(500), Answer(503), Answer(429), Answer(resets=True), Answer(204)])
def test_a_failing_storage(api, client, tmp_path, answer):
    """Anything else that is no file is one to try again."""
    api.storage.script = [answer]
    with pytest.raises(errors.ServiceUnreachable) as caught:
        download(client, api, tmp_path / "part")
    assert not isinstance(caught.value, SignatureExpired)
    assert_no_secret(caught.value)


def test_no_url_behind_a_refused_storage(client, tmp_path):
    """Where the storage does not listen, its signed URL is in nothing that a log could show."""
    url = Secret(f"http://127.0.0.1:{closed_port()}/{ACCOUNT}/mesh.obj?sig=s1gnature")
    with pytest.raises(NotConnected) as caught:
        client.download(url, tmp_path / "part", lambda done, total: None)
    assert_no_secret(caught.value)


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999/mesh?sig=s1gnature", "http://"])
def test_an_address_of_a_mesh_that_is_none(client, tmp_path, url):
    """What is no URL is a sentence without it."""
    with pytest.raises(errors.ServiceUnreachable) as caught:
        client.download(Secret(url), tmp_path / "part", lambda done, total: None)
    assert_no_secret(caught.value)


@pytest.mark.usefixtures("large")
def test_progress_can_end_a_download(api, client, tmp_path):
    """An exception out of the progress stops it and comes through; what is there can be gone on with."""

    class Enough(Exception):
        pass

    def progress(done, total):
        if done > 500_000:
            raise Enough

    with pytest.raises(Enough):
        download(client, api, tmp_path / "part", progress)
    assert download(client, api, tmp_path / "part") == LARGE
    assert "range" in api.storage.seen[1].headers


# --- odd lengths and pieces


@pytest.mark.parametrize("place", range(10))
@pytest.mark.usefixtures("large")
def test_cut_at_ten_places(api, client, tmp_path, place):
    """Wherever it is cut, the next attempt makes it whole."""
    api.storage.script = [Answer(cut_after=len(LARGE) * place // 10 + place)]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, tmp_path / "part")
    assert download(client, api, tmp_path / "part") == LARGE


@pytest.mark.usefixtures("large")
def test_a_storage_that_sends_less_than_asked(api, client, tmp_path):
    """A storage may send a part of the rest: the file is whole only when it has the size that it says."""
    part, told = tmp_path / "part", []
    api.storage.script = [
        Answer(cut_after=900_000),
        Answer(206, LARGE[800_000:1_000_000], {"ETag": '"large"', "Content-Range": "bytes 800000-999999/1600000"}),
    ]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, part)
    with part.open("r+b") as cut:
        cut.truncate(800_000)
    with pytest.raises(errors.ServiceUnreachable, match="cut off"):
        download(client, api, part, lambda done, total: told.append((done, total)))
    assert told[-1] == (1_000_000, 1_600_000)
    assert download(client, api, part) == LARGE


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 800000-1599999/1600000"},
        {"Content-Range": "bytes 800000-1599999/1600000", "ETag": '"other"'},
        {"Content-Range": "bytes 8000000-15999990/16000000", "ETag": '"large"'},
        {"Content-Range": "800000", "ETag": '"large"'},
        {"ETag": '"large"'},
    ],
    ids=["no tag", "another tag", "another place", "no range", "none"],
)
@pytest.mark.usefixtures("large")
def test_a_rest_that_may_be_of_another_file(api, client, tmp_path, headers):
    """What does not say that it is the rest of the same file is not put behind the part: it begins anew."""
    part = tmp_path / "part"
    part.write_bytes(LARGE[:800_000])
    part.with_name("part.etag").write_text('"large"')
    api.storage.script = [Answer(206, b"x" * 800_000, headers)]
    with pytest.raises(errors.ServiceUnreachable, match="another file"):
        download(client, api, part)
    assert download(client, api, part) == LARGE
    assert "range" not in api.storage.seen[-1].headers


@pytest.mark.parametrize(
    "length", ["1600001", "-5", "soon", "9" * 30, "9" * 5000, "5, 7"], ids=lambda length: length[:9]
)
@pytest.mark.usefixtures("large")
def test_a_wrong_length(api, client, tmp_path, length):
    """A length that is not the body's is a sentence, or says nothing; it breaks nothing."""
    api.storage.script = [Answer(200, LARGE, {"Content-Length": length}, cut_after=len(LARGE))]
    try:
        assert download(client, api, tmp_path / "part") == LARGE
    except (errors.ServiceUnreachable, errors.MeshTooLarge) as error:
        assert_no_secret(error)


def test_a_busy_storage(api, client, tmp_path):
    """A storage's Retry-After is heard, too."""
    api.storage.script = [Answer(503, b"", {"Retry-After": "40"})]
    with pytest.raises(errors.ServiceBusy) as caught:
        download(client, api, tmp_path / "part")
    assert caught.value.retry_after_s == 40


# --- too much


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setenv(limits.VARIABLE, '{"download_bytes": 1000000}')


@pytest.mark.parametrize(
    "answer", [Answer(200, LARGE), Answer(200, drips=b"v 0 0 0\n" * 10_000)], ids=["said", "without end"]
)
@pytest.mark.usefixtures("small_limit")
def test_a_mesh_that_is_too_large(api, client, tmp_path, answer):
    """A mesh beyond the limit, or without length and end, is a sentence; nothing of it stays."""
    api.storage.script, told = [answer], []
    with pytest.raises(errors.MeshTooLarge, match=r"larger than 1 MB.*download_bytes"):
        download(client, api, tmp_path / "part", lambda done, total: told.append(done))
    assert not (tmp_path / "part").exists()
    assert max(told, default=0) <= 1_000_000


def test_no_room_for_it(api, client, tmp_path, monkeypatch):
    """A mesh that the disk has no room for is not begun."""
    api.storage.put("mesh.obj", LARGE, '"large"')
    free = downloads.RESERVE_BYTES + len(LARGE) - 1
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(0, 0, free))
    with pytest.raises(errors.StorageError, match="no room"):
        download(client, api, tmp_path / "part")
    assert (tmp_path / "part").stat().st_size == 0


@pytest.mark.parametrize("answer", [Answer(), Answer(drips=b"v 0 0 0\n" * 10_000)], ids=["length", "no length"])
def test_the_disk_fills_up(api, client, tmp_path, monkeypatch, answer):
    """A disk that others fill meanwhile: the download ends with room left, and the next one goes on with the part."""
    large = LARGE * 20
    api.storage.put("mesh.obj", large, '"large"')
    api.storage.script = [answer]
    room = [10**12, downloads.RESERVE_BYTES + 10]
    monkeypatch.setattr(
        downloads.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(0, 0, room.pop(0) if room else 10**12)
    )
    with pytest.raises(errors.StorageError, match="what has arrived is kept"):
        download(client, api, tmp_path / "part")
    there = (tmp_path / "part").stat().st_size
    assert 0 < there <= downloads.ROOM_STEP_BYTES + 200_000
    assert download(client, api, tmp_path / "part") == large
    assert ("range" in api.storage.seen[-1].headers) is (not answer.drips)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.usefixtures("large")
def test_a_full_disk(api, client, tmp_path):
    """The system's own word for a full disk comes through as it is."""
    (tmp_path / "part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        download(client, api, tmp_path / "part")


@pytest.mark.usefixtures("large")
def test_a_link_that_dies_early(api, tmp_path):
    """What came before a link fell silent is kept, however little: the next attempt goes on behind it."""
    client = Client(api.url, Secret(KEY), is_online=lambda: True, timeout_s=0.2)
    api.storage.script = [Answer(200, LARGE, {"ETag": '"large"'}, cut_after=3_000, hangs=True)]
    with pytest.raises(errors.ServiceUnreachable):
        download(client, api, tmp_path / "part")
    assert (tmp_path / "part").stat().st_size == 3_000
    assert download(client, api, tmp_path / "part") == LARGE
    assert api.storage.seen[-1].headers["range"] == "bytes=3000-"
    client.close()
