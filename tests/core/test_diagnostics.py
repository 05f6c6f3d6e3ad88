"""A bundle tells what a bug report needs and nothing else: every planted secret is gone before anybody sees it."""

from __future__ import annotations

import dataclasses
import json
import re
import string
import zipfile
from urllib.parse import quote, unquote_plus

import hypothesis
import hypothesis.strategies as st
import pytest

from csm_refine_addon.core import diagnostics
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.diagnostics import LOG_LINES
from csm_refine_addon.core.errors import StorageError
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import CSM_BASE_URL, JobError, RefineRequest, Secret
from csm_refine_addon.core.redaction import TAKEN_OUT, Redactor

KEY = "0123456789abcdef0123456789ABCDEF"
ODD_KEY = "short-key!"
HOMES, MAC_HOMES = (f"/{name}" for name in ("home", "Users"))  # spelled so that no path of a machine stands here
WINDOWS = "C:{0}Users{0}ada{0}x"
HOME = f"{HOMES}/ada"
SIGNED = "https://store.blob.example:8443/account%40mail.example/SESSION_1/mesh.glb?se=2030-01-01&sp=r&sig=s1gn%2Bature"
PLANTED = {
    "key": f"header x-api-key: {KEY} was refused",
    "key in JSON": f'{{"x-api-key": "{KEY}", "n": 1}}',
    "key alone": f"took {KEY}.",
    "known key of another form": f"Client({ODD_KEY})",
    "bearer": "Authorization: Bearer abc.def-ghi012345",
    "signed URL": f"GET {SIGNED} -> 403",
    "URL with a password": "see http://ada:pa55word@internal.example/x?y=1#z",
    "cut URL": "/mesh.glb?se=2030&sp=r&sig=s1gn%2Bature failed",
    "encoded signature": "redirect=%2Fmesh.glb%3Fse%3D2030%26sig%3Ds1gn%252Bature failed",
    "escaped signature": '{"path": "/mesh.glb?se=2030\\u0026sig=s1gn%2Bature"}',
    "cookie": "Set-Cookie: session=s1gn; Path=/",
    "proxy": "Proxy-Authorization: Digest username=x, response=s1gn",
    "mail": "for ada.lovelace+x@mail.example.com here",
    "encoded mail": "path ada%40mail.example/mesh",
    "home": f'File "{HOME}/blender/x.py" and "{HOME}"',
    "home in a list": f"{HOME}:/usr/bin",
    "Windows home": " and ".join(WINDOWS.format(slash) for slash in ("\\", "\\\\", "/")),
    "Mac home": f"{MAC_HOMES}/ada/Library/x",
    "another's home": f"{HOMES}/grace/x",
}
SECRETS = (
    KEY, ODD_KEY, "abc.def", "s1gn", "2030", "account%40mail", "SESSION_1/", "pa55word", "y=1", "ada", "grace",
    "lovelace", "mail.example",
)  # fmt: skip
redact = Redactor((Secret(KEY), Secret(ODD_KEY), Secret("")), HOME)


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_each_planted_secret_is_taken_out(text):
    """Keys, signatures, paths and queries of URLs, e-mail addresses and names of home folders are gone."""
    found = redact(text)
    assert [secret for secret in SECRETS if secret in found] == []
    assert TAKEN_OUT in found or "~" in found


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_each_plant_holds_a_secret(text):
    """The plants are real: without the redactor the search finds something."""
    assert [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("plant", ["key alone", "signed URL", "mail", "home", "Windows home"])
def test_unknown_secrets_go_by_their_form(plant):
    """Where no secret and no home is known, keys, URLs, e-mail addresses and homes are known by how they look."""
    found = Redactor()(PLANTED[plant])
    assert [secret for secret in SECRETS if secret in found] == []


@pytest.mark.parametrize(
    "text",
    [
        "SESSION_1689256797_6037625 training_refine 42 %",
        "https://api.csm.ai",
        "http://127.0.0.1:8787",
        '"state": "RUNNING", "percent": 30.5',
        "/usr/lib/blender/5.2/python and ~/x",
        "a" * 64,
    ],
)
def test_what_a_report_needs_stays(text):
    """Session codes, words, hosts, numbers, hashes and common paths stay as they are."""
    assert redact(text) == text


def test_a_host_is_enough_of_an_address():
    """Of a URL remain scheme, host and port."""
    assert redact(SIGNED) == f"https://store.blob.example:8443/{TAKEN_OUT}"


SPACED = {
    "mac": (f"{MAC_HOMES}/ada king lovelace", "{0}/Library/x"),
    "linux": (f"{HOMES}/ada king", "{0}/x"),
    "windows": (WINDOWS.format("\\").replace("ada\\x", "ada king"), "{0}\\AppData\\x"),
}
LINES = {
    "a parameter": "GET /mesh.glb?se=2030&sig={0} failed",
    "the first parameter": "mesh.glb?sig={0}&sv=1",
    "an address": "see https://store.example/a/mesh.glb?se=2030&sig={0} there",
    "an address with a password": "see https://ada:{0}@store.example/x there",
    "a header": "x-api-key: {0}",
    "a cookie": "Cookie: a={0}; b=c",
    "a later cookie": "Cookie: a=b; session={0}; path=/",
    "a quoted cookie": 'Set-Cookie: a="{0}"; HttpOnly',
    "a proxy": "Proxy-Authorization: Basic {0}",
    "a scheme without a name": "Proxy-Authorization: Negotiate {0}",
    "an authorization": "Authorization: AWS4-HMAC-SHA256 Credential=x/y, Signature={0}",
    "a token": "token = {0}",
}
"""Lines of logs, each of them with a secret in it."""


def in_json(text: str) -> str:
    return json.dumps({"message": text})


def with_escaped_ampersands(text: str) -> str:
    return in_json(text).replace("&", "\\u0026").replace("=", "\\u003d")


def in_url(text: str) -> str:
    return "url=" + quote(text, safe="")


def in_lower_case(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), in_url(text))


def in_headers(text: str) -> str:
    name, _, value = text.partition(": ")
    return str({name: value} if value else [text])


ENCODINGS = (in_json, with_escaped_ampersands, in_url, in_lower_case)


def decoded(text: str) -> str:
    """Whatever of a text is encoded, once and twice."""
    found = [text]
    for _ in range(2):
        plain = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), unquote_plus(found[-1]))
        found.append(re.sub(r"\\+(.)", r"\1", plain))
    return "\n".join(found)


LETTERS = string.ascii_letters + string.digits + "-._~+/="
secrets = st.text(LETTERS, min_size=12, max_size=40).map(lambda text: f"zq{text}")
encodings = st.tuples(st.sampled_from([str, in_headers]), *[st.sampled_from([str, *ENCODINGS])] * 3)


@hypothesis.settings(max_examples=1000)
@hypothesis.given(line=st.sampled_from(list(LINES.values())), secret=secrets, encode=encodings)
def test_no_encoding_keeps_a_secret(line, secret, encode):
    """Signatures, cookies and authorization are taken out of a line as it is, in JSON, percent-encoded, or both."""
    text = line.format(quote(secret, safe="") if "@" in line else secret)
    for each in encode:
        text = each(text)
    assert "zq" not in decoded(Redactor()(text))


@hypothesis.settings(max_examples=300)
@hypothesis.given(folder=st.sampled_from(list(SPACED.values())), encode=encodings)
def test_no_encoding_keeps_a_home(folder, encode):
    """A home folder with spaces in its name is taken out, with slashes of either kind, known or not."""
    home, path = folder
    text = f'File "{path.format(home)}", line 3'
    for each in encode:
        text = each(text)
    for found in (Redactor(home=home)(text), Redactor()(text)):
        assert not re.search("ada|king|lovelace", decoded(found))
        assert "line" in found


@pytest.mark.parametrize("name", SPACED)
def test_a_known_home_in_a_sentence(name):
    """A known home is taken out whole where a sentence goes on behind it."""
    home, _path = SPACED[name]
    for spelling in (home, home.replace("\\", "/"), json.dumps(home)[1:-1], quote(home), quote(home, safe="")):
        assert Redactor(home=home)(f"It works in {spelling} and stays") == "It works in ~ and stays"


def test_json_stays_json():
    """Of a JSON document with headers in its texts only the values go."""
    document = {"message": "Cookie: a=b; c=d", "headers": {"Set-Cookie": "a=b", "Authorization": "x y"}, "percent": 3}
    found = json.loads(redact(json.dumps(document)))
    assert (found["percent"], set(found["headers"].values())) == (3, {TAKEN_OUT})
    assert found["message"] == f"Cookie: {TAKEN_OUT}"


@pytest.fixture
def home(tmp_path):
    home = DataDir(tmp_path / "home").ensure()
    home.service.mkdir()
    home.worker_log.write_text("".join(f"line {number}\n" for number in range(1000)) + "\n".join(PLANTED.values()))
    (home.service / "service.log").write_text(f"key {KEY}\n")
    return home


def bundle(home):
    made = new_job(RefineRequest("SESSION_1_2"), CSM_BASE_URL, now=0.0, job_id="cafe0001", blend_file=f"{HOME}/a.blend")
    job = dataclasses.replace(made, error=JobError("error", f"It failed at {SIGNED}.", f"Mail ada@mail.example, {KEY}"))
    (home.job_folder(job.id) / "blender.log").write_bytes(b"\xff caf\xc3\xa9 " + b"x" * 10**6)
    return diagnostics.collect(
        home,
        redact,
        versions={"blender": "5.2.0", "python": (3, 13)},
        settings={"service": CSM_BASE_URL, "service_url": SIGNED},
        jobs=[(job, [(1.5, "PREPARED"), (2.5, "FAILED")])],
    )


def test_the_bundle_is_whole_and_clean(home):
    """Versions, settings, the job with its history, and the end of each log; no secret in any of them."""
    parts = {part.name: part.text for part in bundle(home)}
    assert list(parts) == [
        "versions.json", "settings.json", "job_cafe0001.json", "worker.log", "service.log", "job_cafe0001_blender.log",
    ]  # fmt: skip
    found = json.loads(parts["job_cafe0001.json"])
    assert (found["id"], found["blend_file"]) == ("cafe0001", "~/a.blend")
    assert [step["state"] for step in found["history"]] == ["PREPARED", "FAILED"]
    assert len(parts["worker.log"].splitlines()) == LOG_LINES
    assert len(parts["job_cafe0001_blender.log"]) <= diagnostics.LINE_LIMIT
    for text in parts.values():
        assert [secret for secret in SECRETS if secret in text] == []


def test_logs_that_are_not_there_have_no_part(tmp_path):
    """Before anything has run there are versions and settings, and no error."""
    parts = diagnostics.collect(DataDir(tmp_path / "none"), redact, versions={}, settings={}, jobs=[])
    assert [part.name for part in parts] == ["versions.json", "settings.json"]
    assert not (tmp_path / "none").exists()


def test_what_is_written_is_what_was_shown(home, tmp_path):
    """The zip holds each part as it is; a text holds them one after the other."""
    parts = bundle(home)
    diagnostics.write(parts, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        written = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {part.name: part.text for part in parts} == {k: v for k, v in written.items() if k != "README.txt"}
    diagnostics.write(parts, tmp_path / "bundle.txt")
    assert (tmp_path / "bundle.txt").read_text(encoding="utf-8") == diagnostics.as_text(parts)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    """A folder that is not there is said with a cure."""
    with pytest.raises(StorageError) as caught:
        diagnostics.write([], tmp_path / "none" / "bundle.zip")
    assert caught.value.action
