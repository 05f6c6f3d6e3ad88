"""Raw JSON of every form becomes a session, a queue record, or a sentence; nothing else ever comes out."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given, strategies as st

from csm_refine_addon.core.errors import CsmError, ServiceUnreachable
from csm_refine_addon.core.models import RefineRequest, RemoteKind, Secret
from csm_refine_addon.core.providers import csm_schema
from tests.support import api_server as served
from tests.support.api_server import CODE, KEY, TRIAL_KEY

SIGNED = "https://store.example/account%40mail/SESSION_1_2/mesh.glb?se=2030&sp=r&sig=s1gnature"


def reply(document, status=200, hidden=None):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return csm_schema.read_reply(status, body, hidden)


def session(document):
    return csm_schema.read_session(reply(document))


def shown(answer, api):
    """What the server's answer is read as."""
    return session(answer.body(api))


# --- what is sent


def test_values_are_sent_in_the_order_of_the_api():
    """The body holds width, height, depth and the pivot, and nothing else."""
    body = csm_schema.refine_body(RefineRequest(CODE, (1.0, 2.0, 3.0), (0.0, -0.5, 0.25)))
    assert body == {"scaled_bbox": [1.0, 2.0, 3.0], "pivot_point": [0.0, -0.5, 0.25]}


@pytest.mark.parametrize(
    ("bbox", "pivot", "body"),
    [
        (None, None, {}),
        ((1.0, 1.0, 1.0), None, {"scaled_bbox": [1, 1, 1]}),
        (None, (0, 0, 0), {"pivot_point": [0, 0, 0]}),
    ],
)
def test_what_the_service_decides_is_left_out(bbox, pivot, body):
    """Automatic is a missing key, never -1 or 1,1,1."""
    assert csm_schema.refine_body(RefineRequest(CODE, bbox, pivot)) == body


# --- the queue record


def test_queue_record():
    """The refine's answer is a record whose numbers are strings; the trial key is kept, the word is running."""
    ack = csm_schema.read_refine(reply(served.refine_ack().body))
    assert (ack.trial_key, ack.status.word, ack.status.kind) == (TRIAL_KEY, "unprocessed", RemoteKind.RUNNING)


@pytest.mark.parametrize(
    "data", [{}, {"unique_trial_key": 7}, {"unique_trial_key": None, "status": None}, [], None, "x"]
)
def test_nothing_depends_on_the_queue_record(data):
    """A record with other fields, or none, is a record."""
    ack = csm_schema.read_refine(reply(served.envelope(data)))
    assert (ack.trial_key, ack.status.kind) == ("", RemoteKind.RUNNING)


# --- sessions of each form


def test_session_of_2024(api):
    """``status`` is the word, empty strings are no URLs, ``percentage`` says nothing."""
    found = shown(served.session_2024("preview_done"), api)
    assert (found.code, found.status.word, found.status.kind) == (CODE, "preview_done", RemoteKind.REFINABLE)
    assert (found.status.percent, dict(found.mesh_urls), found.mesh_fingerprint) == (None, {}, "")


def test_session_of_2025(api):
    """``session_status``, ``percent_done`` and ``updated_at`` are read."""
    found = shown(served.session_2025("in_progress", percent=40), api)
    assert (found.status.word, found.status.kind, found.status.percent) == ("in_progress", RemoteKind.RUNNING, 40.0)
    assert found.updated_at == "2025-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("status", "session_status", "word", "kind"),
    [
        ("training_refine", "complete", "training_refine", RemoteKind.RUNNING),
        ("refine_done", "in_progress", "refine_done", RemoteKind.DONE),
        ("preview_done", "", "preview_done", RemoteKind.REFINABLE),
        ("", "complete", "complete", RemoteKind.DONE),
        ("something_new", "complete", "complete", RemoteKind.DONE),
        ("something_new", "", "something_new", RemoteKind.RUNNING),
        ("REFINE_DONE", "queued", "REFINE_DONE", RemoteKind.DONE),
    ],
)
def test_of_two_words_the_one_of_2024_counts(api, status, session_status, word, kind):
    """Where both stand side by side, ``status`` wins if it is a word of 2024, else ``session_status``."""
    found = shown(served.session_mixed(status, session_status), api)
    assert (found.status.word, found.status.kind) == (word, kind)


@pytest.mark.parametrize("in_list", [True, False], ids=["output.meshes", "output.mesh"])
def test_session_of_v3(api, in_list):
    """v3 has no envelope; its mesh stands under ``output.meshes[].data`` or ``output.mesh``."""
    found = shown(served.session_v3("complete", "mesh.obj", in_list=in_list), api)
    assert (found.code, found.status.kind, list(found.mesh_urls)) == (CODE, RemoteKind.DONE, ["obj"])


@pytest.mark.parametrize(("word", "kind"), [("incomplete", RemoteKind.RUNNING), ("failed", RemoteKind.FAILED)])
def test_words_of_v3(api, word, kind):
    """v3's words are understood, and an unfinished session has no mesh."""
    found = shown(served.session_v3(word), api)
    assert (found.status.kind, found.best_mesh()) == (kind, None)


@pytest.mark.parametrize("output", [None, {}, {"meshes": None}, {"meshes": [None, {"data": None}]}, "x", []])
def test_odd_outputs_are_no_mesh(output):
    """Nothing in ``output`` breaks the reading, and v2's URLs beside it count."""
    found = session({"status": "complete", "output": output, "mesh_url_glb": SIGNED})
    assert list(found.mesh_urls) == ["glb"]


@pytest.mark.parametrize(("word", "kind"), list(csm_schema.STATUS_WORDS.items()))
def test_every_known_word(word, kind):
    """Each word that was ever seen means what the reference says, and is shown as it came."""
    found = session(served.envelope({"session_code": CODE, "status": word}))
    assert (found.status.word, found.status.kind) == (word, kind)


@pytest.mark.parametrize("word", ["mesh_postprocessing", "Läuft", "精炼中", "x" * 40])
def test_unknown_words_are_running(word):
    """New words did appear: they are a running refine's, and are shown as they are."""
    found = session(served.envelope({"status": word}))
    assert (found.status.word, found.status.kind) == (word, RemoteKind.RUNNING)


@pytest.mark.parametrize(
    ("given_percent", "percent"),
    [(0, 0.0), (37.5, 37.5), (100, 100.0), (-1, None), (101, None), ("40", None), (True, None), (None, None)],
)
def test_percent(given_percent, percent):
    """A percentage counts only from 0 to 100."""
    assert session({"session_status": "in_progress", "percent_done": given_percent}).status.percent == percent


# --- mesh URLs


@pytest.mark.parametrize(
    ("keys", "best"),
    [
        (["mesh_url_fbx", "mesh_url", "mesh_url_obj", "mesh_url_zip", "mesh_url_glb"], "mesh_url_glb"),
        (["mesh_url_fbx", "mesh_url", "mesh_url_obj", "mesh_url_zip"], "mesh_url_zip"),
        (["mesh_url_fbx", "mesh_url", "mesh_url_obj"], "mesh_url_obj"),
        (["mesh_url_fbx", "mesh_url"], "mesh_url"),
        (["mesh_url_fbx"], "mesh_url_fbx"),
    ],
)
def test_order_of_preference(keys, best):
    """GLB comes before zip, OBJ, whatever ``mesh_url`` is, and FBX."""
    found = session({"status": "refine_done", **{key: f"https://store.example/{key}" for key in keys}})
    assert found.best_mesh() == Secret(f"https://store.example/{best}")


def test_preview_is_never_the_result(api):
    """A session that shows only the preview's mesh has none (trap 3)."""
    found = shown(served.session_2024("refine_done", preview_mesh_url_zip=SIGNED, preview_mesh_url_glb=SIGNED), api)
    assert found.best_mesh() is None


@pytest.mark.parametrize(
    "url", ["", "  ", None, 7, "ftp://x/y", "/mesh.glb", "https://", "http://[::1", "https://x\x00/y"]
)
def test_what_is_no_url(url):
    """What cannot be fetched over http is no mesh."""
    assert session({"status": "refine_done", "mesh_url_glb": url}).best_mesh() is None


def test_fingerprint_knows_the_file_not_the_signature():
    """A renewed signature is the same mesh; another path, or another kind, is another one."""
    data = {"status": "refine_done", "mesh_url_glb": SIGNED}
    prints = {
        session({**data, "mesh_url_glb": url}).mesh_fingerprint
        for url in (SIGNED, SIGNED.replace("s1gnature", "0ther"), SIGNED.replace("mesh.glb", "mesh2.glb"))
    }
    assert len(prints) == 2
    assert session({**data, "mesh_url_zip": SIGNED}).mesh_fingerprint not in prints


# --- envelopes and texts


@pytest.mark.parametrize(
    ("http", "inner", "status"),
    [
        (200, 200, 200),
        (200, None, 200),
        (201, 200, 201),
        (200, 404, 404),
        (200, "404", 404),
        (200, 500.0, 500),
        (404, 200, 404),
        (500, 401, 500),
        (200, 0, 0),
        (200, -1, 0),
        (200, "oops", 200),
        (200, True, 200),
    ],
)
def test_both_status_codes_count(http, inner, status):
    """``statusCode`` beats an HTTP 200; a bad HTTP status beats ``statusCode``."""
    found = reply({"data": {}, **({} if inner is None else {"statusCode": inner})}, http)
    assert (found.status, found.is_good) == (status, 200 <= status < 300)


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>502</body></html>", b"\xff\xfe\x00", b"[" * 100_000, b"null", b"3"]
)
def test_what_is_no_json_object(body):
    """A gateway's page, nothing, or nonsense has no text and is no session."""
    found = reply(body)
    assert found.text == ""
    with pytest.raises(ServiceUnreachable):
        csm_schema.read_session(found)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"message": "a", "error": "b", "detail": "c"}, "a"),
        ({"message": "", "error": "b", "detail": "c"}, "b"),
        ({"message": None, "error": {}, "detail": "c"}, "c"),
        ({"error": " two\n lines "}, "two lines"),
        ({"message": "red \x1b[31malert\x07"}, "red [31malert"),
        ({}, ""),
    ],
)
def test_text_for_the_user(document, text):
    """``message`` comes before ``error`` and ``detail``; it becomes one line without control characters."""
    assert reply({**document, "data": {}}).text == text


@pytest.mark.parametrize(
    "text", [f"see {SIGNED} now", f"({SIGNED.upper()})", "https://user:s1gnature@store.example/x", f"a,{SIGNED}"]
)
def test_texts_hide_urls(text):
    """Of a URL in the service's words only the host is shown, wherever the words stand."""
    seen = reply({"message": text, "data": {"status": text, "error": text}})
    found = csm_schema.read_session(seen)
    for said in (seen.text, found.status.word, found.message, csm_schema.read_refine(seen).status.word):
        assert "s1gnature" not in said.lower()
        assert "account" not in said.lower()
        assert "store.example" in said.lower()


def test_texts_hide_the_key():
    """A service that repeats the key has it taken out of every text."""
    seen = reply({"message": f"bad key {KEY}", "data": {"status": f"x {KEY}", "error": KEY}}, hidden=Secret(KEY))
    found = csm_schema.read_session(seen)
    assert seen.text == "bad key …"
    assert KEY not in found.status.word + found.message
    assert KEY not in repr(found) + repr(seen)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"status": ""}, {"status": 3, "session_status": None}])
def test_what_is_no_session(data):
    """An answer without a status is a sentence about the service, not an exception of Python's."""
    with pytest.raises(ServiceUnreachable, match="holds no session"):
        session(served.envelope(data))


KEYS = ["data", "status", "session_status", "output", "meshes", "mesh", "mesh_url", "mesh_url_glb", "glb_url"]
MORE_KEYS = ["statusCode", "message", "error", "percent_done", "session_code", "updated_at", "unique_trial_key"]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([SIGNED, "http://[", KEY])
)
KEY_NAMES = st.sampled_from(KEYS + MORE_KEYS) | st.text(max_size=3)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY_NAMES, inner, max_size=6), max_leaves=20
)


@given(document=DOCUMENTS, status=st.sampled_from([200, 201, 400, 404, 500]))
def test_any_json_is_read(document, status):
    """Whatever JSON comes, it is read or becomes a sentence; URLs and key are in no text of it."""
    found = reply(document, status, Secret(KEY))
    texts = [found.text, csm_schema.read_refine(found).status.word]
    try:
        read = csm_schema.read_session(found)
    except CsmError as error:
        texts.append(str(error))
    else:
        texts += [read.status.word, read.message, read.mesh_fingerprint, repr(read)]
        read.best_mesh()
    assert not [text for text in texts if "s1gnature" in text or KEY in text]


@given(body=st.binary())
def test_any_bytes_are_read(body):
    """Whatever comes instead of JSON is read as an answer without data, or becomes a sentence."""
    found = reply(body)
    csm_schema.read_refine(found)
    with contextlib.suppress(CsmError):
        csm_schema.read_session(found)


@pytest.mark.parametrize("key", ["session_code", "updated_at", "mesh_url_obj", "image_url"])
def test_a_text_without_end_is_none(key):
    """What is far too long for a code, a time or an address is not taken for one, nor written down."""
    data = {"status": "refine_done", key: "https://store.example/" + "x" * csm_schema.MAX_TEXT}
    session = csm_schema.read_session(csm_schema.Reply(200, "", data))
    assert (session.code, session.updated_at, session.image, dict(session.mesh_urls)) == ("", "", None, {})


def test_known_words():
    """A word of the table is known however it is written; any other one is not."""
    known = [csm_schema.read_session(csm_schema.Reply(200, "", {"status": word})) for word in ("Refine_Done", "baking")]
    assert [session.has_known_word for session in known] == [True, False]


@pytest.mark.parametrize(
    "said",
    [
        "No credits left for a.user+x@mail.example.org",
        "of a%40mail.example",
        "sig=s1gn%2Bature&se=2030 is over",
        "Token=abc",
    ],
)
def test_the_services_words_hide_the_account(said):
    """An e-mail address or a signature that the service repeats is not written down with its words."""
    text = csm_schema.read_reply(402, json.dumps({"message": said, "statusCode": 402, "data": {}}).encode()).text
    assert not [secret for secret in ("mail.example", "s1gn", "abc") if secret in text]


@pytest.mark.parametrize("text", ["a" * 100_000, "a.-" * 100_000, "X-Amz-" + "a" * 100_000, "http://" + "a" * 100_000])
def test_a_long_text_takes_no_time(text):
    """What is to be hidden in a text is looked for in one pass: a message of a megabyte does not stop the worker."""
    started = time.process_time()
    assert len(csm_schema.read_reply(400, json.dumps({"message": text}).encode()).text) <= 500
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ({"id": "quads", "try": 2}, ("quads", 2)),
        (None, ("", 1)),
        ({"id": "http://a.example/?sig=1", "try": 1}, ("", 1)),
        ({"id": "quads", "try": True}, ("", 1)),
        ({"id": "quads", "try": 10**9}, ("", 1)),
    ],
)
def test_the_step_of_a_refine(step, found):
    """It is read where it is a plain name with a number of tries, and left out else."""
    data = {"session_code": "SESSION_1_1", "status": "training_refine", "step": step}
    status = csm_schema.read_session(csm_schema.Reply(200, "", data)).status
    assert (status.step, status.attempt) == found
