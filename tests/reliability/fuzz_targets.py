"""What strangers' bytes run through, and a few sound inputs to begin with, made by code."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csm_refine_addon.core import addresses, limits, mesh_files, validation
from csm_refine_addon.core.errors import CsmError
from csm_refine_addon.core.mesh_files import blend_files
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.providers import csm_schema
from tests.reliability import fuzz_planted

OBJ = b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl x\nf 1 2 3\n"
MTL = b"newmtl x\nKd 1 0 0\nmap_Kd -o 1 1 1 a.png\nmap_Bump C:\\x\\y.png\nnorm ../../n.png\n"
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 4, 4, 8, 2, 0, 0, 0)
PNG_IN_TEXT = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
TRIANGLE = struct.pack("<9f3I", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2) + PNG
DOCUMENT: dict[str, Any] = {
    "asset": {"version": "2.0"},
    "extensionsUsed": ["KHR_materials_unlit"],
    "nodes": [{"mesh": 0, "children": [1]}, {"mesh": 0}],
    "meshes": [
        {"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 4, "targets": [{"POSITION": 0}]}]}
    ],
    "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    "textures": [{"source": 0}],
    "images": [{"bufferView": 2, "mimeType": "image/png"}, {"uri": PNG_IN_TEXT}],
    "accessors": [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "byteOffset": 0},
        {"bufferView": 1, "componentType": 5125, "count": 3, "type": "SCALAR"},
        {
            "componentType": 5126,
            "count": 3,
            "type": "VEC3",
            "sparse": {
                "count": 1,
                "indices": {"bufferView": 1, "componentType": 5125},
                "values": {"bufferView": 0, "byteOffset": 0},
            },
        },
    ],
    "bufferViews": [
        {"buffer": 0, "byteLength": 36, "byteStride": 12},
        {"buffer": 0, "byteOffset": 36, "byteLength": 12},
        {"buffer": 0, "byteOffset": 48, "byteLength": len(PNG)},
    ],
    "buffers": [{"byteLength": len(TRIANGLE)}],
    "animations": [{"channels": [{}], "samplers": []}],
    "skins": [{"joints": [0]}],
}
SESSION = {
    "statusCode": 200,
    "message": "ok http://x.example/a?sig=b a@b.example",
    "data": {
        "session_code": "SESSION_1_2",
        "status": "refine_done",
        "percent_done": 12.5,
        "created_at": "2025-01-01T00:00:00Z",
        "mesh_url_glb": "https://x.example/a.glb?sig=1",
        "output": {"meshes": [{"data": {"glb_url": "https://x.example/b.glb"}}]},
        "results": [{"session_code": "SESSION_1_2", "status": "x", "is_deleted": False}],
    },
}


@dataclass(frozen=True)
class Target:
    """``run`` takes any bytes and raises nothing but CsmError; ``words`` are what sound inputs are made of."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    most_bytes: int = 4096


def glb(text: bytes, binary: bytes = TRIANGLE) -> bytes:
    """Return a GLB whose frame is sound, whatever its description says."""
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a zip of these files; the same name may come twice."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def fbx(nested: int = 1) -> bytes:
    """Return a binary FBX of records inside each other, with a string, an array and an image."""
    values = b"S" + struct.pack("<I", 6) + b"C:\\a/b" + b"i" + struct.pack("<III", 2, 0, 8) + bytes(8)
    values += b"R" + struct.pack("<I", len(PNG)) + PNG + b"I" + bytes(4)
    head = b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", 7400)
    return head + _record(len(head), values, nested) + bytes(13)


def _record(start: int, values: bytes, nested: int) -> bytes:
    begin = start + 13 + 1 + len(values)
    inside = _record(begin, values, nested - 1) + bytes(13) if nested else b""
    return struct.pack("<IIIB", begin + len(inside), 4, len(values), 1) + b"N" + values + inside


def blend() -> bytes:
    """Return the frames of an old and harmless .blend."""
    blocks = b"".join(struct.pack("<4si8xii", code, 4, 0, 1) + b"data" for code in (b"OB", b"DATA"))
    image = struct.pack("<4si8xii", b"DATA", len(PNG), 0, 1) + PNG
    return b"BLENDER-v405" + blocks + image + struct.pack("<4si8xii", b"ENDB", 0, 0, 1)


def read_wire(data: bytes) -> None:
    """Everything that an answer is read as."""
    reply = csm_schema.read_reply(200, data, Secret("k3y"))
    assert len(reply.text) <= 500
    csm_schema.read_refine(reply)
    for read in (csm_schema.read_session, csm_schema.read_sessions):
        try:
            found = read(reply)
        except CsmError:
            continue
        for session in (found,) if isinstance(found, csm_schema.Session) else found.sessions:
            repr((session.best_mesh(), session.mesh_fingerprint, session.has_known_word))


def read_typed(data: bytes) -> None:
    """Everything that a user may paste."""
    text = data.decode("utf-8", "surrogatepass" if len(data) % 2 else "replace") if _is_text(data) else repr(data)
    for check in (validation.session_code, validation.service_address, validation.api_key, addresses.is_loopback):
        _quietly(lambda check=check: check(text))
    for check_numbers in (validation.scaled_bbox, validation.pivot_point):
        _quietly(lambda check=check_numbers: check(text.split()))


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def check_file(data: bytes) -> None:
    """A mesh file as the worker and the service take one in, unpacked as the preparing Blender does."""
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "mesh"
        path.write_bytes(data)
        kind = mesh_files.check(path)
        inside = folder / "inside"
        inside.mkdir()
        if kind is mesh_files.MeshKind.ZIP:
            assert mesh_files.extract_obj(path, inside).resolve().is_relative_to(inside.resolve())
            assert {found.name for found in folder.iterdir()} == {"mesh", "inside"}
        if kind is mesh_files.MeshKind.FBX:
            assert mesh_files.harmless_fbx(path, inside).stat().st_size == len(data)


def check_materials(data: bytes) -> None:
    """An MTL: what is left of it names nothing outside."""
    left = mesh_files.obj.harmless_materials(io.BytesIO(data), limits.Limits())
    bad = (b"map_Kd /", b"map_Kd \\", b"map_Kd ../", b"map_Kd ..\\")
    assert not any(line.lstrip().startswith(bad) for line in left.split(b"\n"))


def read_blend(data: bytes) -> None:
    """A .blend as it comes in as a mesh file, and a prepared one before it is appended."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "result.blend"
        path.write_bytes(data)
        _quietly(lambda: mesh_files.check(path, allow_blend=True))
        blend_files.refuse_more_than_data(path)


def _quietly(run: Callable[[], object]) -> None:
    with contextlib.suppress(CsmError):
        run()


def _words(document: Any) -> tuple[bytes, ...]:
    """Return every key and every text in a document, as JSON writes them."""
    if isinstance(document, dict):
        return tuple({json.dumps(key).encode() for key in document}.union(*map(_words, document.values())))
    if isinstance(document, list):
        return tuple(set().union(*map(_words, document)))
    return (json.dumps(document).encode(),)


_GLTF_TEXT, _SESSION_TEXT = json.dumps(DOCUMENT).encode(), json.dumps(SESSION).encode()
_JSON_SIGNS = (b"null", b"[]", b"{}", b"-1", b"1e999", b"99999999999999999999", b"true", b'""', b"[[[[")
TARGETS = {
    "answers": Target(read_wire, (_SESSION_TEXT, b"[]", b"null"), _words(SESSION) + _JSON_SIGNS),
    "typed": Target(
        read_typed,
        (
            b"SESSION_1689256797_6037625",
            b"https://api.example.com/3d-models/SESSION_P_1_2",
            b"1 2 -0.5",
            b"http://[::1]:9",
        ),
        (b"SESSION_", b"SESSION_P_", b"http://", b"localhost", b"@", b"[::1]", b"nan", b"1e400", b"session-"),
    ),
    "glTF": Target(lambda data: check_file(glb(data)), (_GLTF_TEXT,), _words(DOCUMENT) + _JSON_SIGNS, 8192),
    "GLB": Target(check_file, (glb(_GLTF_TEXT), glb(b"{}")), (b"glTF", b"JSON", b"BIN\0", b"\xff\xff\xff\xff"), 8192),
    "zip": Target(
        check_file,
        (zipped([("c/mesh.obj", OBJ), ("c/a.mtl", MTL), ("c/a.png", PNG)]), zipped([("../a.obj", OBJ)])),
        (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"../", b"a.obj", b"\xff\xff\xff\xff", b"CON.obj"),
    ),
    "OBJ": Target(check_file, (OBJ, b"# x\r\n" + OBJ), (b"mtllib ", b"\\\n", b"nan", b"\nv ", b"\nf ", b"../")),
    "MTL": Target(check_materials, (MTL,), (b"map_Kd ", b"\\\\host\\", b"/etc/", b"..", b"newmtl ", b"\t", b"\\\n")),
    "FBX": Target(
        check_file, (fbx(), fbx(3)), (b"S", b"R", b"d", b"\xff\xff\xff\xff", b"C:\\", b"Kaydara FBX Binary  \0")
    ),
    "blend": Target(read_blend, (blend(),), (b"BLENDER17-01v0501", b"TX", b"LI", b"ENDB", b"\xff\xff\xff\x7f")),
}
PLANTED = "planted"
ALL = {**TARGETS, PLANTED: Target(fuzz_planted.faulty, (b"sound",), (b"sound",))}
