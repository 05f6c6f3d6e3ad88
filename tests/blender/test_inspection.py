"""What a report tells of a mesh: textures with their sizes, UV maps, counts, size, and how far it was from its box."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import trimesh
from PIL import Image

from csm_refine_addon.blender.background import prepare
from csm_refine_addon.core.models import Box
from tests.support import returned, scenes

BOX = Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


# --- in the report ----------------------------------------------------------------------------------------------------


def report(folder, mesh, *, fit=True, box=BOX):
    return prepare.prepare(mesh, folder / "result.blend", prepare.PrepareOptions("SESSION_1", box, fit))


def painted(folder, colours: Image.Image, *, uv=True):
    """A GLB of a closed wedge with a picture on it."""
    mesh = returned.unit_mesh()
    mesh.vertices = returned.placed_points((1.0, 3.0, 2.0), (0.0, 0.0, 0.0))
    material = trimesh.visual.material.PBRMaterial(name="Paint", baseColorTexture=colours)
    mesh.visual = trimesh.visual.TextureVisuals(uv=mesh.vertices[:, :2], material=material)
    if not uv:
        mesh.visual.uv = None
    path = folder / "mesh.glb"
    path.write_bytes(trimesh.Scene(mesh).export(file_type="glb"))
    return path


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_the_report_tells_all_of_a_good_mesh(tmp_path):
    """Triangles, materials, textures with pixels, watertight, UV, size, and no difference to the box."""
    found = report(tmp_path, painted(tmp_path, noise(64, 32)))
    (texture,) = found.images
    assert (texture.width, texture.height, texture.is_plain) == (64, 32, False)
    assert texture.name == found.textures[0]
    assert (found.counts.is_watertight, found.has_uv, found.materials) == (True, True, 1)
    assert found.size == pytest.approx(BOX.size)
    assert found.difference < 1e-6


def test_a_texture_of_one_colour_is_seen(tmp_path):
    """A colour texture without any detail is a sign that a bake went wrong."""
    (texture,) = report(tmp_path, painted(tmp_path, Image.new("RGB", (64, 64), (90, 20, 30)))).images
    assert texture.is_plain


def test_a_tiny_texture_is_a_colour_on_purpose(tmp_path):
    """Exporters write plain colours as pictures of a few pixels."""
    (texture,) = report(tmp_path, painted(tmp_path, Image.new("RGB", (4, 4), (90, 20, 30)))).images
    assert not texture.is_plain


def test_a_mesh_without_uv_is_seen(tmp_path):
    """No UV map: the report says so."""
    assert report(tmp_path, painted(tmp_path, noise(8, 8), uv=False)).has_uv is False


@pytest.mark.parametrize("fit", [True, False])
def test_difference_is_as_returned_and_size_as_placed(tmp_path, fit):
    """A mesh of twice the width: the difference is what came back; the size is what it has after fitting."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", (2.0, 3.0, 2.0), (0.0, 0.0, 0.0))
    found = report(tmp_path, mesh, fit=fit)
    assert found.difference == pytest.approx(1 / BOX.diagonal, rel=1e-4)
    assert found.size == pytest.approx((1.0, 2.0, 3.0) if fit else (2.0, 2.0, 3.0))


def test_without_a_box_there_is_no_difference(tmp_path):
    """Bounds left to the service: a size, and nothing to compare it with."""
    found = report(tmp_path, returned.write_glb(tmp_path / "mesh.glb", (2.0, 3.0, 2.0), (0.0, 0.0, 0.0)), box=None)
    assert (found.difference, found.size) == (None, pytest.approx((2.0, 2.0, 3.0)))
    assert dataclasses.asdict(found)["images"] == ()
