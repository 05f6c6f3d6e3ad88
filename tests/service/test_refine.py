"""Refines by a real background Blender, judged by trimesh."""

from __future__ import annotations

import io
import json
import os
import zipfile

import bpy
import numpy as np
import pytest
import requests
import trimesh

from csm_refine_addon.core.processes.background import find_background_blender
from tests.support import sample_meshes, sides_of_faces

BOX, PIVOT = (2.0, 3.0, 5.0), (0.1, -0.5, 0.25)
INPUTS = {
    "one mesh": sample_meshes.glb,
    "parts under an empty root": sample_meshes.multi_part_glb,
    "a mirrored part": lambda: sample_meshes.multi_part_glb(mirrored=True),
    "zip of OBJ": sample_meshes.obj_zip,
    "bare OBJ": sample_meshes.obj_text,
}


def download(url):
    answer = requests.get(url, timeout=30)
    assert answer.status_code == 200
    return answer.content


def error_of_box(mesh, box, pivot) -> float:
    """The largest difference of a corner of the mesh's box, relative to the box's diagonal."""
    box, pivot = np.array(box), np.array(pivot)
    expected = np.array([-box / 2 - pivot * box, box / 2 - pivot * box])
    return np.abs(mesh.bounds - expected).max() / np.linalg.norm(box)


@pytest.fixture(scope="module")
def refined(service):
    """The sample mesh, refined into BOX and PIVOT."""
    return service.refine(service.create(), scaled_bbox=BOX, pivot_point=PIVOT)


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_fills_the_box_around_the_pivot(service, name):
    """Whatever the input's kind, GLB, OBJ and zip fill the asked box around the asked pivot, to 1e-5 of it."""
    session = service.refine(service.create(INPUTS[name]()), scaled_bbox=BOX, pivot_point=PIVOT)
    assert session["status"] == "refine_done", session["error_message"]
    for kind in ("glb", "obj", "zip"):
        mesh = sample_meshes.load(download(session[f"mesh_url_{kind}"]), kind)
        assert error_of_box(mesh, BOX, PIVOT) < 1e-6
        assert mesh.volume > 0


def test_a_done_session_has_all_its_addresses(refined):
    """A finished refine shows every format, complete at 100 percent, in both forms."""
    assert (refined["status"], refined["session_status"], refined["percent_done"]) == ("refine_done", "complete", 100)
    assert refined["mesh_url"] == refined["mesh_url_zip"]
    for kind in ("glb", "obj", "zip", "fbx", "usdz"):
        assert f"/mesh.{kind}?" in refined[f"mesh_url_{kind}"]


def test_a_done_session_has_the_counts_of_its_mesh(refined):
    """Faces by sides, vertices and open edges are those of the mesh in the files, its split vertices welded."""
    found = sample_meshes.load(download(refined["mesh_url_glb"]), "glb")
    counts = refined["result"]
    assert counts["faces"]["3"] + 2 * counts["faces"]["4"] == len(found.faces)
    found.merge_vertices(merge_tex=True, merge_norm=True)
    assert counts["vertices"] == len(found.vertices)
    assert counts["watertight"] == found.is_watertight == (counts["open_edges"] == counts["non_manifold_edges"] == 0)


def test_the_mesh_list_and_v3_show_the_same_addresses(service, refined):
    """get-mesh answers an array, v3 an object without envelope, both with the session's addresses."""
    code = refined["session_code"]
    data = service.ask("GET", f"/image-to-3d-sessions/get-mesh/{code}").json()["data"]
    assert [found["mesh_url_glb"] for found in data] == [refined["mesh_url_glb"]]
    v3 = service.ask("GET", f"/v3/sessions/{code}").json()
    assert "statusCode" not in v3
    assert v3["status"] == "complete"
    assert v3["output"]["meshes"][0]["data"] == {
        f"{kind}_url": refined[f"mesh_url_{kind}"] for kind in ("glb", "obj", "fbx", "usdz")
    }


def test_nothing_turns_or_mirrors_the_mesh(refined):
    """Every vertex is where stretching the original into the box puts it: no axis swapped, none mirrored."""
    original = sample_meshes.asymmetric_mesh().vertices
    low, high = original.min(axis=0), original.max(axis=0)
    expected = ((original - low) / (high - low) - 0.5 - np.array(PIVOT)) * np.array(BOX)
    found = sample_meshes.load(download(refined["mesh_url_glb"]), "glb")
    distances = [np.linalg.norm(found.vertices - point, axis=1).min() for point in expected]
    assert max(distances) < 1e-5


def test_the_texture_is_inside_every_format(refined):
    """GLB, zip, FBX and USDZ hold the texture, GLB and OBJ with the UV map of the original."""
    glb = sample_meshes.load(download(refined["mesh_url_glb"]), "glb")
    assert glb.visual.material.baseColorTexture.size == (sample_meshes.TEXTURE_SIZE,) * 2
    assert np.ptp(glb.visual.uv, axis=0) == pytest.approx([1, 1])
    with zipfile.ZipFile(io.BytesIO(download(refined["mesh_url_zip"]))) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        assert names["mesh.obj"] == f"{refined['session_code']}/mesh.obj"
        assert "map_Kd mesh_0.png" in archive.read(names["mesh.mtl"]).decode()
        assert archive.read(names["mesh_0.png"]).startswith(b"\x89PNG")
    assert b"\x89PNG" in download(refined["mesh_url_fbx"])
    assert b"\x89PNG" in download(refined["mesh_url_usdz"])


def test_quads_stay_quads_in_every_format_that_has_them(service, tmp_path):
    """OBJ, zip, FBX and USDZ hold the faces of the source as they came; the .blend says which Blender wrote it."""
    quads = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1\n"
    quads += b"f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"
    session = service.refine(service.create(quads))
    for kind in ("obj", "zip", "fbx", "usdz"):
        path = tmp_path / f"mesh.{kind}"
        path.write_bytes(download(session[f"mesh_url_{kind}"]))
        assert sides_of_faces.of_file(path) == {4: 6}, kind
    blend = download(session["mesh_url_blend"])
    assert (blend[:7], session["blend_version"]) == (b"BLENDER", list(bpy.app.version[:2]))
    code = session["session_code"]
    (listed,) = service.ask("GET", f"/image-to-3d-sessions/get-mesh/{code}").json()["data"]
    assert (listed["mesh_url_blend"], listed["blend_version"]) == (session["mesh_url_blend"], session["blend_version"])


def test_nothing_asked_keeps_the_size_and_centres_the_mesh(service):
    """Without box and pivot the mesh keeps its size and its origin is its centre."""
    session = service.refine(service.create())
    mesh = sample_meshes.load(download(session["mesh_url_glb"]), "glb")
    assert error_of_box(mesh, sample_meshes.CAR_SIZE, (0, 0, 0)) < 1e-6


def test_a_second_refine_starts_from_the_original(service):
    """A refined session may be refined again: from the user's mesh, with a newer time, new addresses and a new tag."""
    code = service.create()
    first = service.refine(code, scaled_bbox=[1, 1, 1], pivot_point=[0.5, 0.5, 0.5])
    tag = requests.head(first["mesh_url_glb"], timeout=10).headers["ETag"]
    assert service.order(code).status_code == 200
    running = service.session(code)
    assert (running["status"], running["mesh_url_glb"]) == ("training_refine", "")  # no old mesh taken for new
    second = service.refined(code)
    assert second["updated_at"] > first["updated_at"]
    assert second["mesh_url_glb"].partition("?")[0] != first["mesh_url_glb"].partition("?")[0]
    assert requests.head(second["mesh_url_glb"], timeout=10).headers["ETag"] != tag
    mesh = sample_meshes.load(download(second["mesh_url_glb"]), "glb")
    assert error_of_box(mesh, sample_meshes.CAR_SIZE, (0, 0, 0)) < 1e-6
    assert requests.get(first["mesh_url_glb"], timeout=10).status_code == 404


def test_a_flat_mesh_stays_flat_in_the_middle(service):
    """A side of zero cannot be stretched; the others are, and the mesh stands in the middle of the box."""
    flat = trimesh.Trimesh([[0, 0, 0], [4, 0, 0], [4, 3, 0], [0, 3, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    session = service.refine(service.create(sample_meshes.glb(flat)), scaled_bbox=[2, 2, 2], pivot_point=[0, 0, 0.5])
    mesh = sample_meshes.load(download(session["mesh_url_glb"]), "glb")
    assert mesh.bounds == pytest.approx(np.array([[-1, -1, -1], [1, 1, -1]]), abs=1e-6)
    report = next((service.folder / "sessions" / session["session_code"]).glob("*/report.json"))
    assert json.loads(report.read_text())["notes"] == ["The mesh has no depth, so it was not stretched that way."]


def test_a_mesh_that_cannot_be_used_fails_with_its_sentence(service):
    """What only Blender finds out ends in refine_failed, with the sentence in the session and no address."""
    session = service.refine(service.create(b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 1 1\n"))
    assert session["status"] == "refine_failed"
    assert "The mesh has no faces." in session["error_message"]
    assert session["mesh_url_glb"] == ""


def test_the_refinery_ends_with_the_service(tmp_path):
    """When its stdin ends, since the service has died, the refining process ends, whatever it is waiting for."""
    os.mkfifo(tmp_path / "mesh.glb")  # opening it waits for ever
    (tmp_path / "order.json").write_text(json.dumps({"code": "SESSION", "mesh": str(tmp_path / "mesh.glb")}))
    (tmp_path / "scratch").mkdir()
    with (
        (tmp_path / "log").open("wb") as log,
        find_background_blender().start("remesh", {"folder": str(tmp_path)}, tmp_path / "scratch", log) as child,
    ):
        child.stdin.close()
        try:
            assert child.wait(30) == 1
        finally:
            child.kill()
