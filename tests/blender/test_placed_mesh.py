"""Whole jobs of a remote service that serves files as vendors write them: what then stands in the scene, face by face.

Each case is made in Blender, written by an exporter, served, and refined by the command line; the placed object is
looked at with bmesh.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
import pytest
import trimesh

from csm_refine_addon import cli
from csm_refine_addon.core import mesh_counts
from csm_refine_addon.core.models import MeshCounts
from tests.support import scenes
from tests.support.api_server import CODE, KEY, Answer, Api, session_2024
from tests.support.counted import counted

CUBE = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
CORNERS = np.array([(x, y, z) for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])


@dataclass(frozen=True)
class Returned:
    """What the service returns: a file, the kind under which it shows it, and the mesh that was written into it."""

    content: bytes
    key: str
    counts: MeshCounts
    corners: set[tuple[float, ...]]


# --- the meshes -------------------------------------------------------------------------------------------------------


def cube() -> list[bpy.types.Object]:
    """Flat, with a UV map."""
    bpy.ops.mesh.primitive_cube_add(size=1)
    return [bpy.context.object]


def ball() -> list[bpy.types.Object]:
    """Smooth, with a seam in its UV map, and a UV of its own for each face at the poles."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=24, ring_count=12)
    bpy.ops.object.shade_smooth()
    return [bpy.context.object]


def painted_ball() -> list[bpy.types.Object]:
    """Two materials, and a colour for each corner."""
    (obj,) = ball()
    for name in ("Red", "Blue"):
        obj.data.materials.append(bpy.data.materials.new(name))
    obj.data.polygons.foreach_set("material_index", [number % 2 for number in range(len(obj.data.polygons))])
    colours = obj.data.color_attributes.new("Paint", "BYTE_COLOR", "CORNER")
    sides = [len(face.vertices) for face in obj.data.polygons]
    shades = np.repeat(np.arange(len(sides)) % 3 / 2, sides)
    colours.data.foreach_set("color", np.stack([shades, 1 - shades, shades * 0, shades * 0 + 1], 1).ravel())
    return [obj]


def boxes(*places) -> list[bpy.types.Object]:
    """Boxes that touch, in one object."""
    points = np.concatenate([CORNERS + place for place in places])
    faces = [tuple(corner + 8 * number for corner in face) for number in range(len(places)) for face in CUBE]
    return [scenes.mesh_object("Boxes", points.tolist(), faces)]


def cards() -> list[bpy.types.Object]:
    """Two faces back to back, each with vertices of its own."""
    card = [(0, 0, 0), (1, 0, 0), (1, 1, 0.5), (0, 1, 0.5)]
    return [scenes.mesh_object("Cards", card * 2, [(0, 1, 2, 3), (7, 6, 5, 4)])]


def two_objects() -> list[bpy.types.Object]:
    """Two boxes that share the places of a face, each an object, with seams between all faces."""
    return [scenes.mesh_object("Box", (CORNERS + place).tolist(), CUBE) for place in ((0, 0, 0), (1, 0, 0))]


def moebius() -> list[bpy.types.Object]:
    """A strip that is turned over once; its faces disagree at one edge."""
    angle = np.linspace(0, 2 * np.pi, 33)[:-1]
    out, up = np.cos(angle / 2) * 0.3, np.sin(angle / 2) * 0.3
    sides = [np.stack([(1 + s * out) * np.cos(angle), (1 + s * out) * np.sin(angle), s * up], axis=1) for s in (-1, 1)]
    faces = [(i, i + 1, 33 + i, 32 + i) for i in range(31)]
    return [scenes.mesh_object("Strip", np.concatenate(sides).tolist(), [*faces, (31, 32, 0, 63)])]


# --- the files --------------------------------------------------------------------------------------------------------


def glb(path: Path) -> bytes:
    """As Blender's exporter writes it: a vertex for each normal, UV and material; triangles."""
    colours = {"export_vertex_color": "ACTIVE"} if bpy.app.version >= (4, 3) else {}
    bpy.ops.export_scene.gltf(filepath=str(path.with_suffix(".glb")), **colours)
    return path.with_suffix(".glb").read_bytes()


def zip_of_obj(path: Path) -> bytes:
    """OBJ and MTL in a folder of the session's name: quads, and indices of their own for places, UVs and normals."""
    bpy.ops.wm.obj_export(filepath=str(path.with_suffix(".obj")))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (path.with_suffix(".obj"), path.with_suffix(".mtl")):
            archive.write(file, f"{CODE}/mesh{file.suffix}")
    return packed.getvalue()


def fbx(path: Path) -> bytes:
    """As Blender's exporter writes it: quads."""
    bpy.ops.export_scene.fbx(filepath=str(path.with_suffix(".fbx")), mesh_smooth_type="FACE")
    return path.with_suffix(".fbx").read_bytes()


def flat_glb(path: Path) -> bytes:
    """As trimesh writes a mesh whose faces have vertices of their own, without normals."""
    (obj,) = bpy.context.scene.objects
    bpy.ops.object.shade_flat()
    obj.data.calc_loop_triangles()
    points = np.array([vertex.co for vertex in obj.data.vertices])
    triangles = np.array([triangle.vertices for triangle in obj.data.loop_triangles])
    mesh = trimesh.Trimesh(points[:, [0, 2, 1]] * (1, 1, -1), triangles, process=False)
    mesh.unmerge_vertices()
    path.write_bytes(trimesh.Scene(mesh).export(file_type="glb"))
    return path.read_bytes()


KINDS: dict[str, tuple[Callable[[Path], bytes], str, bool]] = {
    "glb": (glb, "mesh_url_glb", False),
    "flat glb": (flat_glb, "mesh_url_glb", False),
    "zip": (zip_of_obj, "mesh_url_zip", True),
    "fbx": (fbx, "mesh_url_fbx", True),
}
"""How a kind is written, under which key it is shown, and whether it has quads."""

MERGE = [
    *((cube, "glb"), (ball, "glb"), (painted_ball, "glb"), (lambda: boxes((0, 0, 0), (1, 0, 0)), "glb")),
    *((cards, "flat glb"), (two_objects, "glb"), (cube, "zip"), (painted_ball, "fbx")),
]
"""What a merge needs: the others run at full length."""
LONG = [
    *((make, kind) for kind in KINDS for make in (cube, ball, cards, moebius)),
    *((lambda at=at: boxes((0, 0, 0), at), kind) for kind in KINDS for at in ((1, 0, 0), (1, 1, 0), (1, 1, 1))),
    *((painted_ball, "zip"), (two_objects, "zip"), (two_objects, "fbx")),
]


def corners_of(mesh: bpy.types.Mesh, *, has_uv: bool) -> set[tuple[float, ...]]:
    """Return each place from the lowest corner on with the normals and UVs that it shows, however the faces are cut."""
    places = np.array([vertex.co for vertex in mesh.vertices])
    places = (places - places.min(axis=0))[[loop.vertex_index for loop in mesh.loops]]
    normals = np.array([corner.vector for corner in mesh.corner_normals])
    uv = np.array([each.vector for each in mesh.uv_layers.active.uv]) if has_uv else places[:, :0]
    steps = 0.0137 + np.concatenate([places, normals / 10, uv], axis=1)  # off the middle between two steps
    return set(map(tuple, np.round(steps, 2).tolist()))


def returned(make, kind: str, folder: Path) -> Returned:
    scenes.empty_scene()
    made = make()
    write, key, has_quads = KINDS[kind]
    scenes.select(*made)
    content = write(folder / "mesh")
    if len(made) > 1:
        bpy.ops.object.join()
    whole = bpy.context.object.data
    found = counted(whole)
    if not has_quads:
        found = as_triangles(found)
    return Returned(content, key, found, corners_of(whole, has_uv=has_uv(whole, kind)))


def has_uv(mesh: bpy.types.Mesh, kind: str) -> bool:
    return bool(mesh.uv_layers) and kind != "flat glb"


def as_triangles(found: MeshCounts) -> MeshCounts:
    return MeshCounts(
        found.triangles + 2 * found.quads, 0, 0, found.vertices,
        found.open_edges, found.non_manifold_edges, found.pieces, found.uv_islands,
    )  # fmt: skip


@pytest.fixture
def refine(tmp_path, monkeypatch, capfd):
    """Refine with a service that shows these files; return the placed mesh and the JSON of the command."""
    monkeypatch.setenv("CSM_API_KEY", KEY)
    monkeypatch.setenv("CSM_REFINE_HOME", str(tmp_path / "home"))

    def run(files: dict[str, bytes], **shown: str) -> tuple[bpy.types.Mesh, dict]:
        scenes.empty_scene()
        scenes.select(scenes.mesh_object("Source"))
        with Api() as api:
            for key, content in files.items():
                api.storage.put(key, content)
            api.after = [session_of(files, **shown)]
            command = ("refine", CODE, "--object", "Source", "--service", api.url, "--bbox", "auto")
            code = cli.main([*command, "--json"])
        said = capfd.readouterr()
        document = json.loads(said.out.splitlines()[-1])
        assert code == 0, (document, said.err)
        return bpy.data.objects[document["object"]].data, document

    return run


def session_of(files: dict[str, bytes], **shown: str) -> Answer:
    """A session that is refined, in the form of 2024, with an address for each file."""
    done = session_2024("refine_done", **shown).body

    def body(api: Api) -> dict:
        document = done(api)
        document["data"] |= {key: api.storage.signed(key) for key in files}
        return document

    return Answer(body=body)


def name_of(value) -> str | None:
    return getattr(value, "__name__", None) if callable(value) else None


@pytest.mark.parametrize(("make", "kind"), [*MERGE, *LONG], ids=name_of)
def test_what_stands_in_the_scene_is_the_mesh_that_was_written(make, kind, refine, tmp_path, request):
    """Vertices, faces, edges, pieces and islands are those of the mesh before its export, and so is each corner."""
    if request.node.callspec.indices["make"] >= len(MERGE) and request.config.getoption("--length") == "short":
        pytest.skip("runs at full length")
    written = returned(make, kind, tmp_path)
    mesh, document = refine({written.key: written.content})
    found = counted(mesh)
    assert (found.triangles, found.quads, found.ngons) == (
        written.counts.triangles, written.counts.quads, written.counts.ngons,
    )  # fmt: skip
    if make is not moebius:
        assert (found.vertices, found.open_edges, found.non_manifold_edges, found.pieces) == (
            written.counts.vertices, written.counts.open_edges, 0, written.counts.pieces,
        )  # fmt: skip
    assert not has_uv(mesh, kind) or found.uv_islands == written.counts.uv_islands
    assert document["placed"] == {**mesh_counts.document(found), "dimensions": document["dimensions"]}
    assert (document["warnings"], document["state"]) == ([], "PLACED")
    if make is not moebius:
        assert corners_of(mesh, has_uv=has_uv(mesh, kind)) == written.corners


@pytest.mark.parametrize("topology", ["quads", "tris", ""])
def test_of_several_kinds_that_with_quads_is_taken_where_quads_were_asked_for(topology, refine, tmp_path):
    """A session that was made for quads comes as FBX, any other one as GLB."""
    kinds = {"mesh_url_glb": returned(cube, "glb", tmp_path), "mesh_url_fbx": returned(cube, "fbx", tmp_path)}
    files = {key: each.content for key, each in kinds.items()}
    mesh, document = refine(files, topology=topology)
    assert Path(document["mesh"]).suffix == (".fbx" if topology == "quads" else ".glb")
    assert counted(mesh) == kinds["mesh_url_fbx" if topology == "quads" else "mesh_url_glb"].counts


@pytest.mark.parametrize("make", [cube, painted_ball])
def test_quads_that_an_exporter_cut_are_joined_where_quads_were_asked_for(make, refine, tmp_path):
    """A GLB of nothing but cut quads comes back as quads, and says so; one that has triangles, too, stays as it is."""
    written = returned(make, "glb", tmp_path)
    mesh, document = refine({written.key: written.content}, topology="quads")
    found = counted(mesh)
    if make is cube:
        assert (found.triangles, found.quads, found.vertices, found.is_watertight) == (0, 6, 8, True)
        assert "joined to 6 quads" in " ".join(document["notes"])
        assert document["placed"]["faces"] == {"3": 0, "4": 6, "more": 0}
        assert corners_of(mesh, has_uv=True) == written.corners
    else:
        assert found == written.counts
