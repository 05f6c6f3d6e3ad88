from __future__ import annotations

import contextlib
import gc
import os
import resource

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix

from csm_refine_addon.blender.scene import export
from csm_refine_addon.core.errors import InputError, StorageError
from tests.support import returned, scenes, sides_of_faces

MATRIX = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (1, 2, 3))


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


@pytest.mark.parametrize("ending", [".glb", ".obj"])
def test_result_alone_stands_where_it_stands_in_the_scene(ending, tmp_path):
    """An independent reader finds the object's world vertices, and nothing of the others."""
    obj = scenes.mesh_object(matrix=MATRIX)
    scenes.mesh_object("Other", matrix=Matrix.Translation((100, 0, 0)))
    path = tmp_path / f"result{ending}"
    export.export(obj, path)
    found, expected = returned.read_points(path), scenes.world_vertices(obj)
    assert len(found) >= len(expected)
    distances = np.linalg.norm(found[:, None] - expected[None], axis=2)
    assert max(distances.min(axis=0).max(), distances.min(axis=1).max()) < 1e-5


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # Blender 5.2's FBX exporter, NumPy 2.5
@pytest.mark.parametrize("ending", [".fbx", ".usdz"])
def test_other_endings_are_written(ending, tmp_path):
    """FBX and USDZ come out as files of their kind."""
    path = tmp_path / f"result{ending}"
    export.export(scenes.mesh_object(matrix=MATRIX), path)
    assert path.read_bytes().startswith(b"Kaydara FBX Binary" if ending == ".fbx" else b"PK\x03\x04")


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # Blender 5.2's FBX exporter, NumPy 2.5
@pytest.mark.parametrize("ending", [".obj", ".fbx", ".usdz"])
def test_faces_stay_as_they_are(ending, tmp_path):
    """A file of each format that can have quads has those of the object, and there is nothing to warn of."""
    obj, path = scenes.mesh_object(matrix=MATRIX), tmp_path / f"result{ending}"
    export.export(obj, path)
    assert sides_of_faces.of_file(path) == {4: 3, 3: 2}
    assert export.format_warnings(obj, path) == ()


def test_glb_says_what_it_cuts(tmp_path):
    """glTF has triangles only: the sentence counts the evaluated quads and n-gons; triangles are no loss."""
    wedge, path = scenes.mesh_object(), tmp_path / "result.glb"
    (said,) = export.format_warnings(wedge, path)
    assert said == (
        "GLB holds triangles only: 3 quads were written as 6 triangles. Use .fbx, .obj or .blend for quads."
    )
    wedge.modifiers.new("Array", "ARRAY").count = 1000
    assert "3,000 quads were written as 6,000 triangles" in export.format_warnings(wedge, path)[0]
    bevelled = scenes.mesh_object("N-gon", [(np.cos(a), np.sin(a), 0) for a in range(6)], [tuple(range(6))])
    assert "1 n-gons were written as 4 triangles" in export.format_warnings(bevelled, path)[0]
    triangle = scenes.mesh_object("Triangle", [(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)])
    assert export.format_warnings(triangle, path) == ()


@contextlib.contextmanager
def little_room():
    """No file can be longer than a kilobyte: to a program that is how a full disk looks, but for the error's name.

    What this process says may go to a longer file, where Blender crashes on what cannot be written: it goes nowhere.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with open(os.devnull, "wb") as nowhere:
        for number, _copy in kept:
            os.dup2(nowhere.fileno(), number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ending", [".glb", ".obj", ".fbx", ".usdz", ".blend"])
def test_full_disk(ending, tmp_path):
    """Also where the exporter says nothing: a sentence with a cure, and the file that stood there stays."""
    obj = scenes.mesh_object(matrix=MATRIX)
    obj.modifiers.new("Finer", "SUBSURF").levels = 4
    path = tmp_path / f"result{ending}"
    path.write_bytes(b"before")
    with little_room():
        with pytest.raises(StorageError) as caught:
            export.export(obj, path)
        message, action = caught.value.message, caught.value.action
        del caught
        gc.collect()  # the file that glTF's exporter leaves open
    assert (message, bool(action)) == (f"The disk has no room for {path.name}.", True)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir() if found.suffix != ".blend@"] == [
        (path.name, b"before")
    ]


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT"])
def test_selection_and_mode_are_as_before(mode, tmp_path):
    """Exporting another object leaves what the user has selected, and the mode."""
    first, second, result = (scenes.mesh_object(name) for name in ("First", "Second", "Result"))
    scenes.select(second, first)
    bpy.ops.object.mode_set(mode=mode)
    export.export(result, tmp_path / "result.glb")
    assert set(bpy.context.view_layer.objects.selected) == {first, second}
    assert bpy.context.view_layer.objects.active == second
    assert second.mode == mode


def test_blend_is_a_copy_of_the_whole_scene(tmp_path):
    """A .blend holds all objects, and the open file does not become it."""
    obj = scenes.mesh_object("Result")
    scenes.mesh_object("Source")
    export.export(obj, tmp_path / "scene.blend")
    assert bpy.data.filepath == ""
    with bpy.data.libraries.load(str(tmp_path / "scene.blend")) as (source, _):
        assert set(source.objects) == {"Result", "Source"}


@pytest.mark.parametrize("name", ["result.stl", "result", "nowhere/result.glb", "folder.glb"])
def test_bad_output_is_refused_early(name, tmp_path):
    """An unknown ending, a folder that is not there, a folder in place of a file: a sentence and a cure."""
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(InputError) as caught:
        export.check_output(tmp_path / name)
    assert caught.value.action


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_protected_folder_is_refused_early(tmp_path):
    """A folder without write permission is found out before anything is sent."""
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        export.check_output(tmp_path / "result.glb")


def test_good_output_is_returned_absolute(tmp_path, monkeypatch):
    """A relative path with an ending in capitals is fine."""
    monkeypatch.chdir(tmp_path)
    assert export.check_output(export.Path("Result.GLB")) == tmp_path / "Result.GLB"
