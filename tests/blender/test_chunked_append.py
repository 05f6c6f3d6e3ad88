from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from csm_refine_addon.blender.background import chunked_append, inspection, prepare
from csm_refine_addon.blender.background.chunked_append import ChunkedAppend
from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.core.models import Box, JobState, Placement
from tests.support import panel, returned, scenes

SIZE = (1.0, 2.0, 3.0)
KINDS = ("objects", "meshes", "materials", "images", "libraries")


@pytest.fixture
def blend(tmp_path) -> Path:
    """A prepared mesh with a texture and two UV maps, whole and in parts; the second map is the one that renders."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", SIZE, (0.0, 0.0, 0.0), textured=True)
    scenes.empty_scene()
    path = tmp_path / "result.blend"
    prepare.prepare(mesh, path, prepare.PrepareOptions("SESSION_1"))
    (obj,) = bpy.data.objects
    layers = obj.data.uv_layers
    second = layers.new(name="Second")
    values = np.arange(len(obj.data.loops) * 2, dtype=np.float32)
    second.uv.foreach_set("vector", values)
    second.active_render = True
    layers.active = layers[0]
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=False, copy=True)
    chunked_append.write(obj, path, large_bytes=0)
    scenes.empty_scene()
    bpy.data.orphans_purge(do_recursive=True)
    return path


def present() -> dict[str, set[str]]:
    return {kind: set(getattr(bpy.data, kind).keys()) for kind in KINDS}


def described(obj) -> dict[str, object]:
    """All of a mesh object that can be told by a value."""
    mesh = obj.data
    arrays = {}
    for layer in mesh.uv_layers:
        values = np.empty(len(mesh.loops) * 2, dtype=np.float32)
        layer.uv.foreach_get("vector", values)
        arrays[layer.name] = values.tolist()
    images = inspection.images_of(obj)
    return {
        "points": [tuple(vertex.co) for vertex in mesh.vertices],
        "faces": [tuple(face.vertices) for face in mesh.polygons],
        "uv": arrays,
        "active": mesh.uv_layers.active.name,
        "render": [layer.name for layer in mesh.uv_layers if layer.active_render],
        "materials": len(mesh.materials),
        "images": [(bytes(image.packed_file.data), image.filepath_raw, tuple(image.size)) for image in images],
        "colours": [image.colorspace_settings.name for image in images],
    }


def delivered(blend: Path) -> ChunkedAppend:
    delivery = ChunkedAppend(blend)
    while not delivery.is_complete:
        delivery.append_next()
    return delivery


def test_parts_come_to_the_same_as_the_whole(blend):
    """Brought in part by part, the object has everything that it has when it is appended whole."""
    whole = described(chunked_append.append(blend))
    assert len(whole["uv"]) == 2
    assert len(whole["images"]) == 1
    scenes.empty_scene()
    assert described(delivered(blend).take()) == whole


def test_nobody_sees_the_parts_before_the_last(blend):
    """What has been brought stands in no collection, and each call brings one part."""
    delivery, calls = ChunkedAppend(blend), 0
    while not delivery.is_complete:
        delivery.append_next()
        calls += 1
        assert not bpy.context.scene.collection.all_objects
    assert calls == 4
    assert not delivery.take().users_collection


def test_small_meshes_have_no_parts(tmp_path):
    """A mesh that is appended in a moment is not written twice; parts of an older mesh are gone."""
    (tmp_path / chunked_append.FOLDER).mkdir()
    mesh = returned.write_glb(tmp_path / "mesh.glb", SIZE, (0.0, 0.0, 0.0))
    scenes.empty_scene()
    prepare.prepare(mesh, tmp_path / "result.blend", prepare.PrepareOptions("SESSION_1"))
    assert not (tmp_path / chunked_append.FOLDER).exists()
    delivery = ChunkedAppend(tmp_path / "result.blend")
    assert delivery.is_complete
    assert delivery.take() is None


@pytest.mark.parametrize("lost", ["uv_0.npy", "image_0", chunked_append.REST])
def test_a_lost_part_leaves_nothing_behind(blend, lost):
    """Where a part is gone there is nothing to take, and nothing of the others stays in the file."""
    (blend.with_name(chunked_append.FOLDER) / lost).unlink()
    before = present()
    assert delivered(blend).take() is None
    assert present() == before


def test_what_vanished_in_between_is_not_taken(blend):
    """The user may undo, or purge what nobody uses, between two parts."""
    before = present()
    delivery = ChunkedAppend(blend)
    delivery.append_next()
    bpy.data.orphans_purge(do_recursive=True)
    while not delivery.is_complete:
        delivery.append_next()
    assert delivery.take() is None
    assert present() == before


def test_what_add_ons_keep_with_objects_in_between_is_no_obstacle(blend):
    """Other add-ons, or our own look for marks, may hang properties on the object before its last part has come."""
    delivery = ChunkedAppend(blend)
    delivery.append_next()
    (obj,) = (obj for obj in bpy.data.objects if obj.name.startswith("SESSION"))
    obj["cycles"] = 1
    while not delivery.is_complete:
        delivery.append_next()
    assert delivery.take() == obj


@pytest.fixture
def home(tmp_path, monkeypatch, blend):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def ready(home: Path, blend: Path, **changes):
    """A job of this window whose large result waits to be placed."""
    placement = Placement((5.0, 6.0, 7.0), (1.0, 0.0, 0.0, 0.0), Box((0.0, 0.0, 0.0), SIZE), "Cube")
    made = {"window": job_monitor.current().window, "blend_path": str(blend), "placement": placement, **changes}
    job_monitor.current().press()
    with panel.journal(home) as journal:
        return journal.add(panel.job(JobState.READY, **made))


def in_journal(home: Path, job):
    with panel.journal(home) as journal:
        return journal.get(job.id)


def turns(home: Path, job, limit: int = 60) -> int:
    """Take turns until the job is placed; return how many had a part to bring."""
    known, busy = len(bpy.data.meshes), 0
    for _ in range(limit):
        pause = job_monitor.tick()
        if in_journal(home, job).state is JobState.PLACED:
            return busy
        busy += pause == job_monitor.AT_ONCE_S and len(bpy.data.meshes) > known
    raise AssertionError("it was not placed")


def test_the_timer_brings_one_part_in_a_turn_and_then_places(home, blend):
    """A large result comes in over several turns; placed, it is complete, and one undo takes all of it back."""
    bpy.ops.ed.undo_push(message="Before")
    before = present()
    job = ready(home, blend)
    assert turns(home, job) == 4
    placed = bpy.data.objects[in_journal(home, job).placed_object]
    assert tuple(placed.location) == (5.0, 6.0, 7.0)
    assert len(described(placed)["uv"]) == 2
    bpy.ops.ed.undo()
    assert present() == before


def test_an_undo_in_between_costs_nothing(home, blend):
    """Undone while the parts come in, the result is appended whole."""
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.ed.undo_push(message="Also before")
    job = ready(home, blend)
    while not any(mesh.name.startswith("SESSION") for mesh in bpy.data.meshes):
        job_monitor.tick()
    bpy.ops.ed.undo()
    turns(home, job)
    placed = bpy.data.objects[in_journal(home, job).placed_object]
    assert len(described(placed)["uv"]) == 2
    assert len(described(placed)["images"]) == 1


def test_a_job_that_is_removed_in_between_leaves_nothing(home, blend):
    """What was brought in for it goes with it."""
    before = present()
    job = ready(home, blend)
    while present() == before:
        job_monitor.tick()
    job_monitor.current().remove(job.id)
    job_monitor.tick()
    assert present() == before
