"""Local refining from end to end: command line, HTTP, service, its Blenders; trimesh judges what comes back."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
import trimesh

from csm_refine_addon.core.jobs.runner import PNG
from csm_refine_addon.remesh import tuning
from tests.core.terminal import Terminal
from tests.support import raw_meshes, sample_meshes
from tests.support.raw_files import Piece, write_glb
from tests.support.raw_shapes import sphere

from .conftest import is_alive, wait_for
from .test_refine import download, error_of_box

METHOD_BEGINS = 3
"""Percent of the whole; reading is over then."""
FACES, BOX, PIVOT = 600, (2.0, 1.0, 0.5), (0.0, -0.5, 0.0)
NEWEST_ONLY = pytest.mark.skipif(
    bpy.app.version < (5, 0), reason="what is proven here is no Blender's own doing, so one Blender of the matrix does"
)


@pytest.fixture
def terminal(tmp_path, service):
    """The command line in a Python without Blender, with the service's key."""
    opened = Terminal(tmp_path, SimpleNamespace(url=service.url))
    opened.environment["CSM_API_KEY"] = service.key
    yield opened
    opened.close()


def refined_by_command(terminal, mesh: Path, *options: str) -> dict:
    """What ``wait`` prints for a session of a mesh file, refined into BOX around PIVOT; it tells how far it is."""
    created = terminal.run("create", str(mesh), "--service", terminal.api.url, "--json").document
    asked = ("--bbox", *map(str, BOX), "--pivot", "bottom", "--faces", str(FACES), "--texture-size", "128", *options)
    done = terminal.run("submit", created["session"], *asked)
    assert done.code == 0, done.err
    quick = {"poll_first_s": 0.1, "poll_longest_s": 0.2, "due_at": 0.0}
    job = terminal.change(terminal.job(), lambda job, now: dataclasses.replace(job, **quick))
    done = terminal.run("wait", job.id, "--json")
    assert (done.code, done.document["error"]) == (0, None), done.err
    assert all(note in done.err for note in done.document["notes"])
    percents = [int(found) for found in re.findall(r"refining .* (\d+) %", done.err)]
    assert percents == sorted(percents)
    assert len({percent for percent in percents if 5 < percent < 95}) > 3
    return done.document


def corners_of_faces(obj: bytes) -> list[int]:
    return [len(line.split()) - 1 for line in obj.decode().splitlines() if line.startswith("f ")]


def assert_dressed(mesh: trimesh.Trimesh) -> None:
    """It fills its box, encloses a volume, and has a texture of the asked size on a layout inside the square."""
    assert error_of_box(mesh, BOX, PIVOT) < 1e-6
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, visual=mesh.visual)
    assert mesh.visual.material.baseColorTexture.size == (128, 128)
    assert mesh.visual.material.normalTexture.size == (128, 128)
    assert mesh.visual.uv.min() >= 0
    assert mesh.visual.uv.max() <= 1
    bare = trimesh.Trimesh(mesh.vertices, mesh.faces)
    bare.merge_vertices(merge_tex=True, merge_norm=True)
    assert bare.is_watertight
    assert bare.volume > 0


@NEWEST_ONLY
def test_triangles_by_command(terminal, service, tmp_path):
    """create, submit and wait bring a mesh of the asked number of triangles; session and job say how it was made."""
    document = refined_by_command(terminal, raw_meshes.odd_textures(tmp_path), "--topology", "tris")
    mesh = trimesh.load(document["mesh"], force="mesh", process=False)
    assert len(mesh.faces) == pytest.approx(FACES, rel=tuning.FACES_TOLERANCE)
    assert_dressed(mesh)
    session = service.session(document["session"])
    assert (session["method"], session["topology"], session["faces"]) == ("tris_1_collapse", "tris", FACES)
    assert session["notes"] == document["notes"]
    assert "Made by the method Decimate and Fit." in session["notes"]
    assert download(session["picture_url"]).startswith(PNG)
    job = terminal.job(document["job"])
    assert Path(job.picture_path).read_bytes().startswith(PNG)


def test_quads_by_command(terminal, service, tmp_path):
    """Nearly all faces are quads, and about as many as were asked for; the FBX that has them is taken."""
    document = refined_by_command(terminal, raw_meshes.odd_textures(tmp_path), "--topology", "quads")
    session = service.session(document["session"])
    assert Path(document["mesh"]).suffix == ".fbx"
    assert_dressed(sample_meshes.load(download(session["mesh_url_glb"]), "glb"))
    assert session["method"].startswith("quads_")
    corners = corners_of_faces(download(session["mesh_url_obj"]))
    assert corners.count(4) >= tuning.MIN_QUADS_SHARE * len(corners)
    assert len(corners) == pytest.approx(FACES, rel=tuning.FACES_TOLERANCE)


@NEWEST_ONLY
def test_losses_by_command(terminal, tmp_path):
    """create says on stderr and in its JSON object what a refine will take, before one is sent."""
    done = terminal.run("create", str(raw_meshes.armature_and_shape_keys(tmp_path)), "--service", terminal.api.url)
    assert done.out.startswith("SESSION_")
    assert ["no armature" in line or "no shape keys" in line for line in done.err.splitlines()] == [True, True]
    seen = terminal.run("status", done.out.strip(), "--service", terminal.api.url, "--json").document
    assert seen["warnings"] == done.err.splitlines()


@NEWEST_ONLY
def test_both_halves_are_mirror_images(service, tmp_path):
    """With symmetry on, a lopsided mesh comes back with a twin for each vertex on the other side, without a seam."""
    code = service.create(raw_meshes.negative_scale(tmp_path).read_bytes())
    asked = {"topology": "tris", "faces": FACES, "texture_resolution": 128, "symmetry": "on"}
    session = service.refine(code, **asked, scaled_bbox=BOX, pivot_point=PIVOT)
    assert (session["status"], session["method"]) == ("refine_done", "tris_1_collapse"), session["error_message"]
    mesh = sample_meshes.load(download(session["mesh_url_glb"]), "glb")
    assert_dressed(mesh)
    mirrored = mesh.vertices * (-1, 1, 1)
    distances = np.linalg.norm(mirrored[:, None] - mesh.vertices[None], axis=2).min(axis=1)
    assert distances.max() < 1e-5


@NEWEST_ONLY
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="where processes stand is read in /proc")
def test_a_cancel_in_the_middle_of_a_method_ends_it_at_once(service, tmp_path):
    """The method's Blender is gone within two seconds, no other one is started, and the session says why."""
    vertices, triangles = sphere(200, 200)
    code = service.create(write_glb(tmp_path / "ball.glb", [Piece(vertices, triangles)]).read_bytes())
    service.order(code, topology="quads", faces=20_000)
    wait_for(lambda: service.session(code)["percent_done"] >= METHOD_BEGINS)
    (child,) = at_work(service, code)
    answer = service.ask("DELETE", f"/local/sessions/{code}/refine")
    assert answer.json()["data"]["error_message"] == "The refine was cancelled."
    wait_for(lambda: not is_alive(child), 2)
    wait_for(lambda: service.ask("GET", "/local/info").json()["data"]["running"] == 0, 2)
    assert at_work(service, code) == []
    assert service.session(code)["status"] == "refine_failed"
    assert service.log().count(f"{code}: remesh") == 2  # one step was started, and ended


def at_work(service, code: str) -> list[int]:
    """The processes that stand in the folder of a session."""
    folder, found = (service.folder / "sessions" / code).resolve(), []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            stands = place.resolve(strict=True)
        except OSError:
            continue  # gone, or another user's
        if stands.is_relative_to(folder):
            found.append(int(place.parent.name))
    return found
