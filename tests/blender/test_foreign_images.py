"""A mesh file that names images elsewhere on this machine gets none of them, by any way in."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras import node_shader_utils

from csm_refine_addon.blender.background import mesh_io, packed_images, prepare
from csm_refine_addon.core.errors import MeshUnusable
from csm_refine_addon.remesh import source_reader
from csm_refine_addon.remesh.refine_settings import RefineSettings
from tests.support import raw_files, raw_meshes

SECRET = raw_files.png(np.full((8, 8, 3), (12, 200, 99), np.uint8))
OWN = raw_files.png(raw_meshes.checker(8, 8))
OBJ = """mtllib{library}
usemtl one
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
f 1/1 2/2 3/3 4/4
"""
UP = "../" * 12
MATERIALS = {
    "absolute": "map_Kd {secret}",
    "with options": "map_Kd -s 2 3 1 -o 0.5 0 0 -bm 1 {secret}",
    "another kind": "map_Bump -bm 1 {secret}",
    "a continued line": "map_Kd\\\n{secret}",
    "a continued line of Windows": "map_Kd\\\r\n{secret}",
    "a continued option": "map_Kd -imfchan\\\nd {secret}",
    "a continued option of Windows": "map_Kd -imfchan\\\r\nd {secret}",
    "a continued option, then a comment": "map_Kd -imfchan\\\n# {secret}",
    "relative": "map_Kd {up}{secret}",
    "continued and relative": "map_Kd -imfchan\\\nd {up}{secret}",
    "of Windows": "map_Kd ..\\\\..\\\\secret.png",
    "another machine": "map_Kd \\\\host\\share\\secret.png",
    "no image": "map_Kd /etc/hostname",
    "no image, continued": "map_Kd -imfchan\\\nd /etc/hostname",
}


@pytest.fixture
def secret(tmp_path) -> Path:
    """An image of the user's that the mesh file names, and which has no business in a result."""
    path = tmp_path / "private" / "secret.png"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    (path.parent / "sheet.mtl").write_text("newmtl one\nKd 0.1 0.2 0.3\nmap_Kd secret.png\n")
    return path


def zipped(path: Path, material: str, library: str = " sheet.mtl", **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sheet/sheet.obj", OBJ.format(library=library))
        archive.writestr("sheet/sheet.mtl", f"newmtl one\n{material}\n")
        for name, content in files.items():
            archive.writestr(f"sheet/{name}", content)
    return path


def exported_fbx(path: Path, image: Path, mode: str) -> Path:
    """A sheet whose FBX names the image by its path."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("sheet")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)], [], [(0, 1, 2, 3)])
    mesh.uv_layers.new().data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
    mesh.materials.append(bpy.data.materials.new("sheet"))
    wrapper = node_shader_utils.PrincipledBSDFWrapper(mesh.materials[0], is_readonly=False)
    wrapper.base_color_texture.image = bpy.data.images.load(str(image))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("sheet", mesh))
    bpy.ops.export_scene.fbx(filepath=str(path), path_mode=mode)
    return path


def with_raw_paths(path: Path, name: bytes = b"secret.png") -> Path:
    """Turn the strings that hold the image's name into values of type R, which some importers read as strings."""
    content = bytearray(path.read_bytes())
    turned, at = 0, 0
    while (at := content.find(name, at + 1)) >= 0:
        for start in range(at, max(at - 300, 5), -1):
            length = int.from_bytes(content[start - 4 : start], "little")
            if content[start - 5 : start - 4] == b"S" and at + len(name) - start <= length < 400:
                content[start - 5 : start - 4] = b"R"
                turned += 1
                break
    assert turned > 3
    path.write_bytes(content)
    return path


def by_prepare(mesh: Path, folder: Path) -> str:
    """Return what may have kept something of it: the bytes of the .blend, the report."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    report = prepare.prepare(mesh, folder / "result.blend", prepare.PrepareOptions("result"))
    return (folder / "result.blend").read_bytes().decode("latin-1") + str(report)


def by_refinery(mesh: Path, folder: Path) -> str:
    (folder / "scratch").mkdir()
    order = {"mesh": str(mesh), "code": "SESSION_1_2"}
    source_reader.read_source(folder, order, RefineSettings())
    images = [*bpy.data.images]
    assert all(image.packed_file for image in images)
    contents = [image.packed_file.data.decode("latin-1") for image in images]
    return "".join([*contents, *(image.filepath for image in images)])


@pytest.mark.parametrize("read", [by_prepare, by_refinery])
class TestNothingFromElsewhere:
    """Neither the image nor its path is in the result, and nothing unpacked is left."""

    def read(self, read, mesh: Path, secret: Path) -> None:
        folder = secret.parent.parent / "out"
        folder.mkdir()
        try:
            found = read(mesh, folder)
        except MeshUnusable:
            return  # refused as a whole
        assert SECRET.decode("latin-1") not in found
        assert str(secret.parent) not in found
        assert all(image.packed_file for image in bpy.data.images if image.source != "VIEWER")

    @pytest.mark.parametrize("line", MATERIALS.values(), ids=MATERIALS)
    def test_materials(self, read, line, secret, tmp_path):
        """By an MTL in a zip."""
        self.read(read, zipped(tmp_path / "mesh.zip", line.format(secret=secret, up=UP)), secret)

    @pytest.mark.parametrize("start", [" ", "\\\n", "\\\r\n"])
    def test_a_library(self, read, start, secret, tmp_path):
        """By an MTL elsewhere, which names an image beside it."""
        library = f"{start}{UP}{secret.parent}/sheet.mtl"
        self.read(read, zipped(tmp_path / "mesh.zip", "Kd 1 1 1", library), secret)

    @pytest.mark.parametrize("mode", ["ABSOLUTE", "RELATIVE"])
    @pytest.mark.parametrize("change", [lambda path: path, with_raw_paths], ids=["strings", "raw"])
    def test_fbx(self, read, mode, change, secret, tmp_path):
        """By an FBX with the path as a string, or as a raw value."""
        (tmp_path / "in").mkdir()
        self.read(read, change(exported_fbx(tmp_path / "in" / "mesh.fbx", secret, mode)), secret)

    @pytest.mark.parametrize("uri", ["secret.png", "../private/secret.png", "file://{secret}", "{secret}"])
    def test_glb(self, read, uri, secret, tmp_path):
        """By a URI in a GLB, with the image beside the mesh too."""
        piece = raw_files.Piece(
            np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]),
            np.array([[0, 1, 2]]),
            np.zeros((3, 2)),
            material=raw_files.Material(raw_meshes.checker(8, 8)),
        )
        path = raw_files.write_glb(tmp_path / "mesh.glb", [piece])
        content = path.read_bytes()
        length = int.from_bytes(content[12:16], "little")
        document = json.loads(content[20 : 20 + length])
        document["images"] = [{"uri": uri.format(secret=secret)}]
        text = json.dumps(document).encode()
        text += b" " * (-len(text) % 4)
        rest = content[20 + length :]
        head = b"glTF" + (2).to_bytes(4, "little") + (20 + len(text) + len(rest)).to_bytes(4, "little")
        path.write_bytes(head + len(text).to_bytes(4, "little") + b"JSON" + text + rest)
        (tmp_path / "secret.png").write_bytes(SECRET)
        self.read(read, path, secret)


def test_images_of_the_zip_stay(tmp_path):
    """What lies in the zip is packed, and its path leads nowhere; what does not is named."""
    path = zipped(tmp_path / "mesh.zip", "map_Kd -s 2 2 1 own.png\nmap_Ks none.png", **{"own.png": OWN})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    left_out: list[str] = []
    mesh_io.import_mesh(path, tmp_path, left_out)
    (image,) = bpy.data.images
    assert (bytes(image.packed_file.data), image.filepath_raw) == (OWN, "//own.png")
    assert left_out == ["none.png"]
    assert [found.name for found in tmp_path.iterdir()] == ["mesh.zip"]


def test_the_refinery_names_what_is_left_out(tmp_path):
    """A refine's notes have the name of an image that is not in the file."""
    (tmp_path / "scratch").mkdir()
    order = {"mesh": str(zipped(tmp_path / "mesh.zip", "map_Kd none.png")), "code": "SESSION_1_2"}
    _obj, notes = source_reader.read_source(tmp_path, order, RefineSettings())
    assert notes == ["The image none.png was left out: it is not in the file."]


@pytest.mark.parametrize("source", ["FILE", "SEQUENCE", "MOVIE", "TILED"])
def test_images_of_any_kind(tmp_path, secret, source):
    """An image that an importer has opened elsewhere is removed, whatever kind of image it is."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    image = bpy.data.images.load(str(secret))
    image.source = source
    assert packed_images.keep_packed([image], tmp_path / "in") == ["secret.png"]
    assert list(bpy.data.images) == []
