"""Mesh files before any Blender opens them: kind by the first bytes, sound frames, safe unpacking."""

from __future__ import annotations

import contextlib
import io
import json
import math
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from csm_refine_addon.core import mesh_files
from csm_refine_addon.core.errors import BlendTooNew, MeshUnusable
from csm_refine_addon.core.mesh_files import MeshKind, blend_files
from tests.support import sample_meshes

OBJ = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
DOCUMENT = {
    "asset": {"version": "2.0"},
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
    "bufferViews": [{"buffer": 0, "byteLength": 36}],
    "buffers": [{"byteLength": 36}],
}
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 4, 4)
TRIANGLE = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)


def glb(document=DOCUMENT, binary: bytes = TRIANGLE, *, version: int = 2, grow: int = 0) -> bytes:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", version, 12 + len(chunks) + grow) + chunks


def changed(**parts):
    return {**DOCUMENT, **parts}


def packed(files: dict[str, bytes], *, mode: int = 0, encrypted: bool = False) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data)
    found = bytearray(content.getvalue())
    if encrypted:
        found[found.index(b"PK\1\2") + 8] |= 1
    return bytes(found)


def checked(path: Path, content: bytes) -> MeshKind:
    path.write_bytes(content)
    return mesh_files.check(path)


@pytest.fixture
def mesh(tmp_path):
    return tmp_path / "mesh.bin"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (sample_meshes.glb(), MeshKind.GLB),
        (sample_meshes.multi_part_glb(), MeshKind.GLB),
        (sample_meshes.obj_zip(), MeshKind.ZIP),
        (sample_meshes.obj_text(), MeshKind.OBJ),
        (glb(), MeshKind.GLB),
        (OBJ, MeshKind.OBJ),
        (b"\xef\xbb\xbf# made by hand\r\n" + OBJ.replace(b"\n", b"\r\n"), MeshKind.OBJ),
        (b"mtllib a.mtl\n" + OBJ.replace(b" ", b"\t"), MeshKind.OBJ),
        (b"# " + b"x" * 3_000_000 + b"\n" + OBJ, MeshKind.OBJ),
    ],
)
def test_sound_files_pass_under_any_name(mesh, content, kind):
    """The kind is told by the content, whatever the file is called."""
    assert checked(mesh, content) is kind


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<?xml version='1.0'?><Error/>", "error page"),
        (b"\n\n  <html>", "error page"),
        (b'{"message": "no"}', "error page"),
        (b"\x89PNG\r\n\x1a\n", "no mesh of a known kind"),
        (b"value 1 2 3\n", "no mesh of a known kind"),
        (b"v\0 0 0", "no mesh of a known kind"),
        (b"; FBX 7.4.0 project file\n", "text form"),
        (b"glTF", "within its header"),
        (glb(version=1), "version 1"),
        (glb(grow=4), "should have"),
        (glb() + b"more", "should have"),
        (glb()[:40], "should have"),
        (glb(b"{broken"), "not JSON"),
        (glb(b"[" * 100_000), "not JSON"),
        (glb(b"[]"), "not glTF"),
        (glb(b"7"), "not glTF"),
        (glb({"meshes": 7}), "not glTF"),
        (glb(changed(meshes=[])), "holds no mesh"),
        (glb(changed(meshes=[{"primitives": []}])), "holds no mesh"),
        (glb(changed(buffers=[{"byteLength": 40}])), "shorter than it says"),
        (glb(changed(buffers=[{"byteLength": 36, "uri": "other.bin"}])), "needs other files"),
        (glb(changed(images=[{"uri": "/etc/passwd"}])), "needs other files"),
        (glb(changed(bufferViews=[{"buffer": 0, "byteLength": 37}])), "outside the file"),
        (glb(changed(bufferViews=[{"buffer": 0, "byteOffset": -4, "byteLength": 36}])), "outside the file"),
        (glb(changed(bufferViews=[{"buffer": 3, "byteLength": 36}])), "not glTF"),
        (glb(changed(accessors=[{**DOCUMENT["accessors"][0], "count": 4}])), "beyond its data"),
        (glb(changed(accessors=[{**DOCUMENT["accessors"][0], "count": "3"}])), "not glTF"),
        (glb(binary=struct.pack("<9f", *[0] * 8, math.nan)), "not finite"),
        (glb(binary=struct.pack("<9f", math.inf, *[0] * 7, -math.inf)), "not finite"),
        (b"v 0 0 0\n# f 1 2 3\n", "no faces"),
        (b"# v\nf 1 2 3\n", "no vertices"),
        (b"v 0 0 nan\n" + OBJ, "not finite"),
        (b"Kaydara FBX Binary  \x00\x1a\x00\xe8\x1c\x00\x00" + b"\xff" * 20, "before its last part"),
        (b"PK\3\4" + b"\0" * 50, "cannot be unpacked"),
    ],
)
def test_what_is_damaged_or_no_mesh_is_refused_with_a_sentence(mesh, content, words):
    """Each kind of damage has its sentence, and nothing else than MeshUnusable is raised."""
    with pytest.raises(MeshUnusable, match=words) as caught:
        checked(mesh, content)
    assert caught.value.message.endswith(".")
    assert caught.value.action


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"a.txt": b"x"}), "no OBJ"),
        (packed({"a.obj": b"v 0 0 0\n"}), "no faces"),
        (packed({"../a.obj": OBJ}), "outside its own folder"),
        (packed({"/a.obj": OBJ}), "outside its own folder"),
        (packed({"C:/a.obj": OBJ}), "outside its own folder"),
        (packed({"x\\..\\a.obj": OBJ}), "outside its own folder"),
        (packed({"a.obj": OBJ}, mode=stat.S_IFLNK | 0o777), "links"),
        (packed({"a.obj": OBJ}, encrypted=True), "encrypted"),
        (packed({"a.obj": OBJ + b"\n" * 70_000_000}), "unreasonable size"),
        (packed({f"{n}.obj": b"" for n in range(10_001)}), "more than 10000"),
        (packed({"a.obj": OBJ})[:-30], "cannot be unpacked"),
    ],
)
def test_a_dangerous_or_damaged_zip_is_refused(mesh, content, words):
    """Names that lead out, links, passwords, bombs and damage are refused, by check and before anything is unpacked."""
    with pytest.raises(MeshUnusable, match=words):
        checked(mesh, content)
    if "no faces" not in words:
        with pytest.raises(MeshUnusable, match=words):
            mesh_files.extract_obj(mesh, mesh.parent / "out")
        assert not (mesh.parent / "out").exists()


def test_a_zip_gives_its_largest_obj_with_what_belongs_to_it(mesh):
    """MTL and images come along into the folder, anything else does not."""
    files = {
        "c/small.obj": OBJ,
        "c/mesh.obj": OBJ * 2,
        "c/mesh.mtl": b"newmtl a\n",
        "c/a b.PNG": PNG,
        "c/run.py": b"",
    }
    mesh.write_bytes(packed(files))
    found = mesh_files.extract_obj(mesh, mesh.parent / "out")
    assert found == mesh.parent / "out" / "c" / "mesh.obj"
    assert found.read_bytes() == OBJ * 2
    names = {path.name for path in found.parent.iterdir()}
    assert names == {"small.obj", "mesh.obj", "mesh.mtl", "a b.PNG"}


def test_a_zip_whose_content_was_changed_is_refused(mesh):
    """A checksum that does not fit is damage."""
    content = bytearray(packed({"a.obj": OBJ * 50}))
    content[content.index(b"a.obj") + 9] ^= 0xFF
    mesh.write_bytes(content)
    with pytest.raises(MeshUnusable, match="cannot be unpacked"):
        mesh_files.extract_obj(mesh, mesh.parent / "out")


def test_a_missing_file_is_a_sentence_too(tmp_path):
    """A file that cannot be read is reported by its name."""
    with pytest.raises(MeshUnusable, match=r"gone\.glb cannot be read"):
        mesh_files.check(tmp_path / "gone.glb")


@settings(max_examples=300)
@given(cut=st.integers(0, 10_000), flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4))
def test_no_damage_raises_anything_else(tmp_path_factory, cut, flips):
    """Whatever is cut off or changed in a sound file, it passes or raises MeshUnusable."""
    path = tmp_path_factory.getbasetemp() / "damaged"
    for whole in (glb(), packed({"c/mesh.obj": OBJ, "c/mesh.mtl": b"newmtl a\n"}), OBJ):
        content = bytearray(whole)
        for place, value in flips:
            content[place % len(content)] = value
        path.write_bytes(content[: cut % (len(content) + 1)] if cut % 2 else content)
        with contextlib.suppress(MeshUnusable):
            mesh_files.check(path)


def test_a_large_mesh_is_checked_in_blocks(mesh, monkeypatch):
    """Positions and OBJ lines that reach over a block's end are seen as in one piece."""
    monkeypatch.setattr(mesh_files.kinds, "BLOCK_BYTES", 8)
    positions = np.zeros((1000, 3), dtype="<f4")
    views, buffers = [{"buffer": 0, "byteLength": 12_000}], [{"byteLength": 12_000}]
    accessors = [{**DOCUMENT["accessors"][0], "count": 1000}]
    document = changed(bufferViews=views, buffers=buffers, accessors=accessors)
    assert checked(mesh, glb(document, positions.tobytes())) is MeshKind.GLB
    positions[999, 2] = np.nan
    with pytest.raises(MeshUnusable, match="not finite"):
        checked(mesh, glb(document, positions.tobytes()))
    assert checked(mesh, OBJ) is MeshKind.OBJ
    with pytest.raises(MeshUnusable, match="not finite"):
        checked(mesh, b"v 0 0 0 \nv 123456 -inf 3\nf 1 2 3\n")


# --- .blend ---------------------------------------------------------------------------------------------------------

OLD, NEW = b"BLENDER-v402", b"BLENDER17-01v0502"


def blend(*blocks: tuple[bytes, bytes], head: bytes = OLD) -> bytes:
    """The frames of a .blend."""
    content = head
    for code, data in (*blocks, (b"ENDB", b"")):
        if head.startswith(b"BLENDER17"):
            content += struct.pack("<4si8xqq", code, 0, len(data), 1) + data
        else:
            content += struct.pack("<4si8xii", code, len(data), 0, 1) + data
    return content


def image(side: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", side, side)


ONE_OBJECT = ((b"GLOB", b"x"), (b"OB", b"object"), (b"ME", b"mesh"), (b"DATA", b"x"), (b"DATA", image(4)))


@pytest.mark.parametrize("head", [OLD, NEW])
def test_a_blend_of_one_object_passes_where_it_is_allowed(mesh, head):
    """Both headers of a .blend are read, with their versions; where none is expected, none is taken."""
    mesh.write_bytes(blend(*ONE_OBJECT, head=head))
    assert mesh_files.check(mesh, allow_blend=True) is MeshKind.BLEND
    assert blend_files.version(mesh) == ((4, 2) if head == OLD else (5, 2))
    with pytest.raises(MeshUnusable, match=r"A \.blend came instead of a mesh file"):
        mesh_files.check(mesh)


@pytest.mark.parametrize("head", [OLD, NEW])
@pytest.mark.parametrize("code", [b"TX", b"AC", b"LI", b"SO", b"WO", b"CA", b"GR", b"OB"])
def test_a_blend_of_more_than_one_object_is_refused(mesh, head, code):
    """Texts, actions, other files, worlds, cameras, collections, a second object: it is no mesh file."""
    mesh.write_bytes(blend(*ONE_OBJECT, (code, b"more"), head=head))
    with pytest.raises(MeshUnusable, match="more than one plain mesh object"):
        mesh_files.check(mesh, allow_blend=True)


@pytest.mark.parametrize(
    "content",
    [
        b"BLENDER",
        b"BLENDER_v402" + bytes(100),
        blend(*ONE_OBJECT)[:-20],
        blend(*ONE_OBJECT).replace(struct.pack("<i", 6), struct.pack("<i", -6)),
        blend(*ONE_OBJECT).replace(struct.pack("<i", 6), struct.pack("<i", 1 << 30)),
    ],
)
def test_a_blend_that_is_cut_off_is_refused(mesh, content):
    """Neither an end before the last block nor a length that leads elsewhere is read on."""
    mesh.write_bytes(content)
    with pytest.raises(MeshUnusable, match="cut off or compressed"):
        mesh_files.check(mesh, allow_blend=True)


def test_images_in_a_blend_have_the_limits_of_all(mesh, monkeypatch):
    """What a packed image unpacks to is counted before Blender opens the file."""
    monkeypatch.setenv("CSM_REFINE_LIMITS", '{"image_pixels": 100}')
    mesh.write_bytes(blend(*ONE_OBJECT))
    assert mesh_files.check(mesh, allow_blend=True) is MeshKind.BLEND
    mesh.write_bytes(blend(*ONE_OBJECT, (b"DATA", image(11))))
    with pytest.raises(MeshUnusable, match="an image of 11 × 11 pixels"):
        mesh_files.check(mesh, allow_blend=True)


def test_a_newer_blender_is_named(mesh):
    """The version stands in the first bytes; an equal and an older one can be read."""
    mesh.write_bytes(blend(*ONE_OBJECT, head=NEW))
    blend_files.refuse_newer(mesh, (5, 2))
    blend_files.refuse_newer(mesh, (6, 0))
    with pytest.raises(BlendTooNew, match=r"written by Blender 5\.2, and Blender 4\.5 cannot read it"):
        blend_files.refuse_newer(mesh, (4, 5))
