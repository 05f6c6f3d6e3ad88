"""What the tools of the optional group do to a mesh, as a program: METHOD MESH OUTPUT.obj FACES"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import trimesh


def welded(path: Path) -> trimesh.Trimesh:
    """All triangles of a file, vertices at the same place being one."""
    mesh = trimesh.load(path, force="mesh", process=False)
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    plain.merge_vertices(merge_tex=True, merge_norm=True)
    plain.update_faces(plain.nondegenerate_faces())
    return plain


def instant_meshes(mesh: trimesh.Trimesh, faces: int, output: Path) -> None:
    """Through files: in arrays it gives triangles."""
    import pyinstantmeshes

    bare = output.with_suffix(".in.obj")
    write_obj(bare, mesh.vertices, mesh.faces.tolist())
    pyinstantmeshes.remesh_file(str(bare), str(output), target_face_count=faces, deterministic=True)


def pymeshlab(mesh: trimesh.Trimesh, faces: int, output: Path) -> None:
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(mesh.vertices, mesh.faces))
    meshes.meshing_decimation_quadric_edge_collapse(targetfacenum=faces, preservenormal=True, preservetopology=True)
    found = meshes.current_mesh()
    write_obj(output, found.vertex_matrix(), found.face_matrix().tolist())


def xatlas(mesh: trimesh.Trimesh, _faces: int, output: Path) -> None:
    import xatlas

    mapping, triangles, uvs = xatlas.parametrize(mesh.vertices, mesh.faces)
    write_obj(output, mesh.vertices[mapping], triangles.tolist(), uvs)


def write_obj(path: Path, vertices: np.ndarray, faces: list[list[int]], uvs: np.ndarray | None = None) -> None:
    with path.open("w", encoding="ascii") as file:
        np.savetxt(file, vertices, "v %.9g %.9g %.9g")
        if uvs is not None:
            np.savetxt(file, uvs, "vt %.9g %.9g")
        form = "{0}/{0}" if uvs is not None else "{0}"
        file.writelines("f " + " ".join(form.format(corner + 1) for corner in face) + "\n" for face in faces)


METHODS = {method.__name__: method for method in (instant_meshes, pymeshlab, xatlas)}

if __name__ == "__main__":
    name, source, target, count = sys.argv[1:]
    METHODS[name](welded(Path(source)), int(count), Path(target))
