"""Hostile files: refused by a sentence before any Blender opens them; what gets through ends one job."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import threading
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import psutil
import pytest

from csm_refine_addon.core import limits, mesh_files
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import MeshUnusable, PrepareFailed
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import RefineRequest
from csm_refine_addon.core.processes.blender_tasks import BackgroundTasks
from tests.reliability.fuzz_targets import DOCUMENT, MTL, OBJ, PNG, TRIANGLE, fbx, glb, zipped
from tests.support.api_server import wait_until

MOST_BYTES = 48 << 20
seen: list[dict[str, object]] = []


@pytest.fixture(scope="module", autouse=True)
def _noted(note):
    yield
    note("hostile", seen)


def with_parts(**parts) -> bytes:
    return glb(json.dumps({**DOCUMENT, **parts}).encode())


def with_image(image: bytes) -> bytes:
    views = [*DOCUMENT["bufferViews"][:2], {"buffer": 0, "byteOffset": 48, "byteLength": len(image)}]
    binary = TRIANGLE[:48] + image
    parts = {"bufferViews": views, "buffers": [{"byteLength": len(binary)}], "images": [{"bufferView": 2}]}
    return glb(json.dumps({**DOCUMENT, **parts}).encode(), binary)


def png(width: int, height: int) -> bytes:
    """A picture of one colour: a few kilobytes of it may stand for gigabytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(width: int, height: int) -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", 1002) + bytes(1000)
    return b"\xff\xd8" + comment + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(12)


def webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sizes


def tiff(width: int, height: int) -> bytes:
    tags = struct.pack("<HHHII", 2, 256, 4, 1, width) + struct.pack("<HHII", 257, 4, 1, height)
    return b"II*\0" + struct.pack("<I", 5008) + bytes(5000) + tags


def lying_zip() -> bytes:
    """A zip that says in its directory that its OBJ is shorter than it is."""
    content = bytearray(zipped([("a.obj", OBJ * 100)]))
    at = content.index(b"PK\1\2")
    struct.pack_into("<I", content, at + 24, len(OBJ))
    return bytes(content)


def overlapping_zip() -> bytes:
    """Two members that share one stretch of data, as in a bomb of Fifield's (2019)."""
    content = bytearray(zipped([("a.obj", OBJ), ("b.obj", OBJ)]))
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 4)
    struct.pack_into("<I", content, second + 42, 0)
    return bytes(content)


def bomb(size: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.obj", "w") as file:
        for _ in range(size >> 20):
            file.write(b"\n" * (1 << 20))
    return content.getvalue()


def nested(depth: int) -> bytes:
    return with_parts(extras=json.loads("[" * depth + "]" * depth))


ACCESSOR = DOCUMENT["accessors"][0]
DEEP = [{"children": [n + 1]} for n in range(999)] + [{"mesh": 0}]
PRIMITIVE = {"attributes": {"POSITION": 0}, "indices": 1}
BEYOND = [ACCESSOR, {**DOCUMENT["accessors"][1], "bufferView": 0, "byteOffset": 24}]
NO_DATA = {"componentType": 5126, "count": 10**9, "type": "VEC3"}

FILES = {
    "a mesh inside itself": (with_parts(nodes=[{"mesh": 0, "children": [1]}, {"children": [0]}]), "no trees"),
    "a node with two parents": (with_parts(nodes=[{"children": [2]}, {"children": [2]}, {"mesh": 0}]), "no trees"),
    "1,000 nodes inside each other": (with_parts(nodes=DEEP), "nodes inside each other"),
    "100,000 nodes": (with_parts(nodes=[{}] * 100_000), "nodes"),
    "a mesh shown 20,000 times, 20,000 shape keys": (
        with_parts(
            nodes=[{"mesh": 0}] * 20_000, meshes=[{"primitives": [{**PRIMITIVE, "targets": [{}] * 20_000}]}], skins=[]
        ),
        "vertices",
    ),
    "a billion vertices without data": (with_parts(accessors=[NO_DATA, NO_DATA]), "values in an array"),
    "more exceptions than values": (
        with_parts(accessors=[{**DOCUMENT["accessors"][2], "count": 0}, *DOCUMENT["accessors"][1:]]),
        "exceptions",
    ),
    "faces of vertices that are not there": (
        glb(json.dumps(DOCUMENT).encode(), TRIANGLE[:44] + struct.pack("<I", 3) + PNG),
        "not there",
    ),
    "a compressed mesh": (with_parts(extensionsUsed=["KHR_draco_mesh_compression"]), "compressed"),
    "an unknown extension": (with_parts(extensionsRequired=["XX_runs_code"]), "not known"),
    "another file": (with_parts(images=[{"uri": "//host/share/x.png"}]), "other files"),
    "1,000 lists inside each other": (nested(900), "nested"),
    "100,000 lists inside each other": (glb(b"[" * 100_000 + b"]" * 100_000), "not JSON"),
    "17 MB of description": (glb(b" " * (17 << 20)), "more than"),
    "a PNG of 100,000 × 100,000": (with_image(png(100_000, 100_000)), "pixels"),
    "a JPEG of 65,000 × 65,000": (with_image(jpeg(65_000, 65_000)), "pixels"),
    "a WebP of 16,777,216 × 16,777,216": (with_image(webp(1 << 24, 1 << 24)), "pixels"),
    "an image that is none": (with_image(b"<svg onload=x>"), "no known kind"),
    "a TIFF of 100,000 × 100,000 in a zip": (
        zipped([("a.obj", OBJ), ("a.png", tiff(100_000, 100_000))]),
        "pixels",
    ),
    "a zip of 512 MB in 0.5 MB": (bomb(512 << 20), "unreasonable"),
    "a zip that lies about a size": (lying_zip(), "cannot be unpacked|more than it declares"),
    "a zip whose files are one": (overlapping_zip(), "twice|cannot be unpacked"),
    "a name of an upper folder": (zipped([("a/../../b.obj", OBJ)]), "outside"),
    "a name with a drive": (zipped([("c:\\b.obj", OBJ)]), "outside"),
    "a name that is a device": (zipped([("a/con.obj", OBJ)]), "safe on every system"),
    "a name that ends in a point": (zipped([("a./b.obj", OBJ)]), "safe on every system"),
    "two names that are one": (zipped([("a.obj", OBJ), ("A.OBJ", OBJ)]), "twice"),
    "a file that is a folder": (zipped([("a.obj", OBJ), ("a.obj/b.mtl", MTL)]), "twice"),
    "materials elsewhere": (b"mtllib ../../x.mtl\n" + OBJ, "outside"),
    "materials elsewhere, in the next line": (OBJ + b"mtllib\\\r\n../../x.mtl\n", "outside"),
    "a line of 9 MB": (b"v " + b"0 " * 4_700_000 + b"\n" + OBJ, "a line of"),
    "100 records inside each other": (fbx(100), "inside each other"),
    "an array of 16 GB in 8 bytes": (
        fbx(0).replace(b"i" + struct.pack("<III", 2, 0, 8), b"d" + struct.pack("<III", 2**31, 1, 8)),
        "unreasonable",
    ),
}


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_hostile_file_is_refused(content, words, tmp_path, request):
    """Each is refused by a sentence, in a moment, with little memory, and nothing of it is unpacked."""
    path = tmp_path / "mesh"
    path.write_bytes(content)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(MeshUnusable, match=words) as caught:
            take_in(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.action
    assert most < MOST_BYTES + 10 * len(content)
    assert time.process_time() - started < 5.0
    row = {"what": request.node.callspec.id, "bytes": len(content), "ends": str(caught.value)}
    seen.append({**row, "peak MB": most / 2**20})


def take_in(path):
    if mesh_files.check(path) is mesh_files.MeshKind.ZIP:
        mesh_files.extract_obj(path, path.with_name("out"))


def test_an_mtl_names_nothing_outside(tmp_path):
    """Absolute paths, other machines, drives and upper folders are taken out of a zip's MTL."""
    lines = [b"newmtl x", b"Kd 1 0 0", b"map_Kd a.png", b"map_Ks -o 1 1 1 sub/b c.png"]
    bad = [
        *(
            b"map_Kd /etc/passwd",
            b"\tmap_Kd\t/etc/passwd",
            b"map_Kd \\\\host\\share\\x.png",
            b"map_Bump -bm 1 C:\\x.png",
        ),
        *(b"map_Kd ../../x.png", b"norm a/../../x.png", b"refl -type sphere //host/x", b"map_d file:///etc/passwd"),
        *(b"disp ..\\x.png", b"decal\x0b/etc/passwd"),
    ]
    (tmp_path / "mesh").write_bytes(zipped([("a.obj", OBJ), ("a.mtl", b"\r".join([*lines, *bad])), ("a.png", PNG)]))
    found = mesh_files.extract_obj(tmp_path / "mesh", tmp_path / "out").with_name("a.mtl").read_bytes()
    assert found.split() == b"\n".join(lines).split()
    seen.append({"what": "10 paths in an MTL", "bytes": 0, "ends": "taken out", "peak MB": None})


# --- what gets through: a real Blender, confined


@pytest.fixture
def workshop(tmp_path):
    return BackgroundTasks(DataDir(tmp_path / "home").ensure(), "", threading.Event().wait)


def prepare(workshop, mesh: Path, job="cafe"):
    return workshop.prepare(new_job(RefineRequest("SESSION_1_2"), "local", now=1.0, job_id=job), mesh)


def grid(path: Path, side: int) -> Path:
    """A GLB of side × side vertices, which no check refuses."""
    text = "".join(f"v {i % side} {i // side} {i % 7}\n" for i in range(side * side))
    rows = (range(y * side + 1, y * side + side) for y in range(side - 1))
    faces = "".join(f"f {i} {i + 1} {i + side + 1} {i + side}\n" for row in rows for i in row)
    path.write_text(text + faces)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such limits")
@pytest.mark.parametrize(
    ("limit", "kind", "words"),
    [
        ({"memory_bytes": 330_000_000}, PrepareFailed, "more memory"),
        ({"processor_s": 1}, PrepareFailed, "processor time"),
        ({"prepare_s": 1}, PrepareFailed, "not done within"),
        ({"file_bytes": 1_000_000}, PrepareFailed, "Blender failed on the mesh"),
    ],
    ids=["memory", "processor", "time", "disk"],
)
def test_a_mesh_that_is_too_much_ends_one_job(workshop, tmp_path, monkeypatch, request, limit, kind, words):
    """Out of memory, processor time or time: a sentence for that job, nothing is left, the next one goes on."""
    large, small = grid(tmp_path / "large.obj", 700), grid(tmp_path / "small.obj", 3)
    with monkeypatch.context() as patched:
        patched.setenv(limits.VARIABLE, json.dumps(limit))
        with pytest.raises(kind, match=words) as caught:
            prepare(workshop, large)
    assert caught.value.action
    assert {path.name for path in workshop.home.job_folder("cafe").iterdir()} <= {"blender.log", "report.json"}
    assert not psutil.Process().children(recursive=True)
    assert prepare(workshop, small)[1].vertices == 9
    what = f"a mesh that needs more {request.node.callspec.id} than it may"
    seen.append({"what": what, "bytes": large.stat().st_size, "ends": str(caught.value), "peak MB": None})


@pytest.mark.skipif(sys.platform != "linux", reason="kills by signal")
def test_a_crash_ends_one_job(workshop, tmp_path):
    """A Blender that dies in the middle is a sentence, and its job can be prepared again."""
    mesh = grid(tmp_path / "mesh.obj", 300)
    result: list[BaseException] = []

    def work():
        try:
            prepare(workshop, mesh)
        except PrepareFailed as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    (child,) = wait_until(lambda: psutil.Process().children())
    os.kill(child.pid, 11)
    thread.join(20)
    assert "ended without a result" in str(result[0])
    assert prepare(workshop, mesh)[1].vertices == 90_000
    seen.append({"what": "SIGSEGV while preparing", "bytes": 0, "ends": str(result[0]), "peak MB": None})
