"""The API's answers: forms, checks of what is asked, and who may ask."""

from __future__ import annotations

import json
import re

import pytest
import requests

from csm_refine_addon.core.models import RemoteKind
from csm_refine_addon.core.providers import csm_schema
from tests.support import raw_meshes, sample_meshes

SESSIONS = "/image-to-3d-sessions"
UNKNOWN = "SESSION_1689256797_6037625"
TEXT_FIELDS = [
    "_id",
    "session_code",
    "image_url",
    "input_image",
    "mesh_url",
    "mesh_url_glb",
    "mesh_url_usdz",
    "mesh_url_zip",
    "mesh_url_obj",
    "mesh_url_fbx",
    "preview_mesh_url_zip",
    "preview_mesh_url_glb",
    "preview_mesh_url_usdz",
    "mp4_url",
    "session_gif",
    "status",
    "geometry_model",
    "texture_model",
    "topology",
    "resolution",
    "symmetry",
    "updated_at",
    "created_at",
    "session_status",
    "error_message",
]


def is_envelope(answer, status: int) -> bool:
    document = answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert list(document) == ["error", "message", "statusCode", "data"]
    assert isinstance(document["error"], str)
    assert csm_schema.read_reply(answer.status_code, answer.content).is_envelope
    return answer.status_code == status == document["statusCode"] and bool(document["message"])


def refuses(answer, status: int, words: str) -> bool:
    assert is_envelope(answer, status), answer.text
    document = answer.json()
    assert document["error"]
    assert re.search(words, document["message"]), document["message"]
    return document["message"].endswith(".")


def test_a_mesh_becomes_a_session_at_preview_done(service):
    """A mesh file in the body answers 201 with the session, in the fields of 2024 and 2025 and of their types."""
    answer = service.ask("POST", "/local/sessions", data=sample_meshes.glb())
    assert is_envelope(answer, 201)
    assert answer.json()["message"] == "Created"
    data = answer.json()["data"]
    assert re.fullmatch(r"SESSION_\d{10}_\d{7}", data["session_code"])
    assert all(isinstance(data[name], str) for name in TEXT_FIELDS)
    assert (data["status"], data["session_status"], data["percent_done"]) == ("preview_done", "incomplete", 0)
    assert (data["scaled_bbox"], data["pivot_point"], data["spins"]) == ([-1, -1, -1], [0, 0, 0], [])
    assert (data["percentage"], data["is_deleted"], data["user_id"]) == (0, False, None)
    assert data["mesh_url_glb"] == data["mesh_url"] == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data["created_at"])
    assert requests.get(data["preview_mesh_url_glb"], timeout=10).content == sample_meshes.glb()


@pytest.mark.parametrize("kind", ["zip", "obj"])
def test_obj_and_zip_become_sessions_too(service, kind):
    """A bare OBJ and a zip of OBJ are taken like a GLB."""
    mesh = {"zip": sample_meshes.obj_zip, "obj": sample_meshes.obj_text}[kind]()
    assert service.session(service.create(mesh))["status"] == "preview_done"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"<html>Gateway</html>", "error page"),
        (b"\x89PNG\r\n\x1a\n....", "no mesh of a known kind"),
        (sample_meshes.glb()[:-10], "should have"),
        (b"# obj\nv 0 0 0\n", "no faces"),
    ],
)
def test_what_is_no_mesh_is_refused(service, body, words):
    """A body that is no usable mesh answers 400 with a sentence, and leaves no file behind."""
    assert refuses(service.ask("POST", "/local/sessions", data=body), 400, words)
    assert list((service.folder / "arriving").iterdir()) == []


def test_a_refine_answers_with_the_queue_record(start_service, stalled_blender):
    """POST refine answers with the documented record, and the session is at training_refine at once."""
    service = start_service("--blender", stalled_blender)
    code = service.create()
    answer = service.order(code, scaled_bbox=[2, 3, 5], pivot_point=[0, -0.5, 0.25])
    assert is_envelope(answer, 200)
    assert answer.json()["message"] == "Generating Mesh"
    record = answer.json()["data"]
    job = record["complete_job_data"]
    key = record["unique_trial_key"]
    assert (record["scenario"], record["status"], job["status"]) == (code, "unprocessed", "unprocessed")
    assert list(record) == ["scenario", "unique_trial_key", "status", "complete_job_data"]
    names = [
        "scenario",
        "job_priority",
        "username",
        "call",
        "user_id",
        "status",
        "start_time",
        "unique_trial_key",
        "task_data",
        "id",
    ]
    assert list(job) == names
    assert all(isinstance(value, str) for value in job.values())
    assert job["id"] == f"job:dreamfusion:{code}_{key}"
    assert json.loads(job["task_data"])["unique_trial_key"] == key
    session = service.session(code)
    assert (session["status"], session["session_status"]) == ("training_refine", "in_progress")
    assert 0 <= session["percent_done"] < 100
    assert (session["scaled_bbox"], session["pivot_point"]) == ([2, 3, 5], [0, -0.5, 0.25])


def test_our_own_client_understands_the_answers(start_service, stalled_blender):
    """What wire reads out of session and record is what the service meant."""
    service = start_service("--blender", stalled_blender)
    code = service.create()
    answer = service.ask("GET", f"{SESSIONS}/{code}")
    assert csm_schema.read_session(csm_schema.read_reply(200, answer.content)).status.kind is RemoteKind.REFINABLE
    answer = service.order(code)
    assert (
        csm_schema.read_refine(csm_schema.read_reply(200, answer.content)).trial_key
        == answer.json()["data"]["unique_trial_key"]
    )
    session = csm_schema.read_session(csm_schema.read_reply(200, service.ask("GET", f"{SESSIONS}/{code}").content))
    assert session.status.kind is RemoteKind.RUNNING
    assert session.status.percent == 0


def test_what_a_refine_will_take_is_said_with_the_session(service, tmp_path):
    """The session of a mesh with bones and shape keys says what is lost: when it is made, and when it is looked at."""
    mesh = raw_meshes.armature_and_shape_keys(tmp_path).read_bytes()
    made = service.ask("POST", "/local/sessions", data=mesh).json()["data"]
    assert ["armature" in made["warnings"][0], "shape keys" in made["warnings"][1]] == [True, True]
    code = made["session_code"]
    answer = service.ask("GET", f"{SESSIONS}/{code}")
    assert csm_schema.read_session(csm_schema.read_reply(200, answer.content)).warnings == tuple(made["warnings"])
    assert service.session(service.create())["warnings"] == []


@pytest.mark.parametrize("found", [None, "text", {"a": 1}, [3, None, ["text"], {}, "", " "]])
def test_sentences_of_another_form_are_none(found):
    """What is no list of texts is not taken for sentences, and does no harm."""
    data = {"session_code": UNKNOWN, "status": "refine_done", "notes": found, "warnings": found}
    session = csm_schema.read_session(csm_schema.Reply(200, "", data))
    assert (session.notes, session.warnings) == ((), ())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"scaled_bbox": [1, 0, 1]}, "height is 0"),
        ({"scaled_bbox": [1, -2, 1]}, "above zero"),
        ({"scaled_bbox": [-1, -1, 1]}, "above zero"),
        ({"scaled_bbox": [1, 1]}, "three numbers"),
        ({"scaled_bbox": "1 1 1"}, "three numbers"),
        ({"scaled_bbox": [True, 1, 1]}, "three numbers"),
        ({"scaled_bbox": ["1", 1, 1]}, "three numbers"),
        ({"scaled_bbox": [float("nan"), 1, 1]}, "finite"),
        ({"scaled_bbox": [float("inf"), 1, 1]}, "finite"),
        ({"scaled_bbox": [10**400, 1, 1]}, "finite"),
        ({"scaled_bbox": [1e-9, 1, 1]}, "metres"),
        ({"pivot_point": [0, 0, 0.51]}, "between -0.5 and 0.5"),
        ({"pivot_point": [0, None, 0]}, "three numbers"),
        ({"pivot_point": {"x": 0}}, "three numbers"),
        ([1, 2, 3], "not a JSON object"),
    ],
)
def test_bad_values_are_refused_before_anything_starts(service, body, words):
    """A box or pivot out of range answers 400 with a sentence and leaves the session as it was."""
    code = service.create()
    before = service.session(code)
    answer = service.ask("POST", f"{SESSIONS}/get-3d/refine/{code}", data=json.dumps(body))
    assert refuses(answer, 400, words)
    assert service.session(code) == before


def test_bodies_that_are_no_json_are_refused(service):
    """Broken JSON answers 400 and a huge body 413, with a sentence."""
    path = f"{SESSIONS}/get-3d/refine/{service.create()}"
    assert refuses(service.ask("POST", path, data=b"{not json"), 400, "not JSON")
    assert refuses(service.ask("POST", path, data=b" " * 100_000), 413, "larger than 64 KB")


def test_the_automatic_box_counts_as_none(start_service, stalled_blender):
    """The stored default [-1,-1,-1] and an empty body mean that the service keeps the mesh's size."""
    service = start_service("--blender", stalled_blender)
    code = service.create()
    assert service.order(code, scaled_bbox=[-1, -1, -1]).status_code == 200
    assert service.session(code)["scaled_bbox"] == [-1, -1, -1]


def test_unknown_keys_are_ignored_with_a_warning(start_service, stalled_blender):
    """A key that this version does not know does not stop a refine; the log names it."""
    service = start_service("--blender", stalled_blender)
    assert service.order(service.create(), wings=2).status_code == 200
    assert "'wings'" in service.log()


def test_a_running_refine_is_not_started_twice(start_service, stalled_blender):
    """Refine and preview answer 409 while a refine is running."""
    service = start_service("--blender", stalled_blender)
    code = service.create()
    service.order(code)
    assert refuses(service.order(code), 409, "being refined already")
    assert refuses(service.ask("POST", f"{SESSIONS}/get-3d/preview/{code}", json={}), 409, "being refined already")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{SESSIONS}/{UNKNOWN}"),
        ("GET", f"{SESSIONS}/get-mesh/{UNKNOWN}"),
        ("POST", f"{SESSIONS}/get-3d/refine/{UNKNOWN}"),
        ("POST", f"{SESSIONS}/get-3d/preview/{UNKNOWN}"),
        ("DELETE", f"/local/sessions/{UNKNOWN}/refine"),
        ("GET", f"/v3/sessions/{UNKNOWN}"),
    ],
)
def test_unknown_sessions_answer_404(service, method, path):
    """A code that this service does not have answers 404 with a sentence."""
    assert refuses(service.ask(method, path), 404, "no session of this code")


def test_unknown_addresses_and_methods_answer_in_envelopes(service):
    """Bottle's own refusals come in the envelope too."""
    assert refuses(service.ask("GET", "/nothing/here"), 404, "no such address")
    assert refuses(service.ask("PATCH", "/user/userdata"), 405, "does not take this method")


def test_creating_from_an_image_names_the_way_that_works(service):
    """POST of an image answers 400 and says that there is no image model, and how to bring a mesh."""
    answer = service.ask("POST", SESSIONS, json={"image_url": "https://example.com/a.png"})
    assert refuses(answer, 400, r"no image model.*/local/sessions")


def test_sessions_are_listed_newest_first(start_service, stalled_blender):
    """The list is paged by limit and page, page 0 and 1 both being the first, and holds whole sessions."""
    service = start_service("--blender", stalled_blender)
    codes = [service.create() for _ in range(3)]
    listed = service.ask("GET", f"{SESSIONS}?limit=2").json()["data"]
    assert [session["session_code"] for session in listed["results"]] == [codes[2], codes[1]]
    assert listed["results"][0] == service.session(codes[2])
    assert service.ask("GET", f"{SESSIONS}?limit=2&page=0").json()["data"]["results"] == listed["results"]
    second = service.ask("GET", f"{SESSIONS}?limit=2&page=2").json()["data"]
    assert [session["session_code"] for session in second["results"]] == [codes[0]]
    assert refuses(service.ask("GET", f"{SESSIONS}?limit=many"), 400, "number")


def test_userdata_checks_a_key(service):
    """The account's data name a tier."""
    answer = service.ask("GET", "/user/userdata")
    assert is_envelope(answer, 200)
    assert answer.json()["data"]["tier"] == "local"


def test_a_preview_sets_the_stage_back(start_service, crashing_blender):
    """POST preview puts a failed session back to preview_done."""
    service = start_service("--blender", crashing_blender)
    code = service.create()
    assert service.refine(code)["status"] == "refine_failed"
    answer = service.ask("POST", f"{SESSIONS}/get-3d/preview/{code}", json={"selected_spin_index": 0})
    assert is_envelope(answer, 200)
    assert service.session(code)["status"] == "preview_done"
    assert service.session(code)["error_message"] == ""


@pytest.mark.parametrize("key", ["", "wrong", "ключ".encode()])
@pytest.mark.parametrize("path", ["/user/userdata", SESSIONS, "/local/info", "/nothing/here", "/v3/sessions/x"])
def test_every_address_wants_the_key(service, path, key):
    """Without the right key every address answers 401 in an envelope."""
    answer = requests.get(service.url + path, headers={"x-api-key": key} if key else {}, timeout=10)
    assert refuses(answer, 401, "API key")


def test_a_web_page_cannot_use_the_service(service):
    """Another host name (DNS rebinding) and an Origin header are refused, with the right key too."""
    port = service.url.rpartition(":")[2]
    for host in (f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{int(port) + 1}", ""):
        assert refuses(service.ask("GET", "/local/info", headers={"Host": host}), 403, "another name")
    assert service.ask("GET", "/local/info", headers={"Host": f"localhost:{port}"}).status_code == 200
    assert refuses(service.ask("GET", "/local/info", headers={"Origin": service.url}), 403, "Web pages")


def test_info_tells_what_the_service_can(service):
    """The service's own address tells formats and what is going on."""
    data = service.ask("GET", "/local/info").json()["data"]
    assert {"glb", "obj", "zip"} <= set(data["input_formats"])
    assert {"glb", "obj", "zip", "fbx"} <= set(data["formats"])
    assert isinstance(data["version"], int)


def test_users_register_and_leave(service):
    """A user of a service started on demand is counted until it leaves; an odd name is refused."""
    assert service.ask("PUT", "/local/users/a1", json={}).status_code == 200
    assert service.ask("GET", "/local/info").json()["data"]["users"] == 1
    assert service.ask("DELETE", "/local/users/a1").status_code == 200
    assert service.ask("GET", "/local/info").json()["data"]["users"] == 0
    assert refuses(service.ask("PUT", f"/local/users/{'x' * 65}", json={}), 400, "name")


def test_no_secret_is_logged(service):
    """Neither the key nor a signature stands in the log, whatever was asked."""
    preview = service.session(service.create())["preview_mesh_url_glb"]
    requests.get(preview, timeout=10)
    service.ask("GET", f"/user/userdata?key={service.key}&sig=abc")
    text = service.log()
    assert service.key not in text
    assert "sig=" not in text
    assert "/user/userdata" in text
