"""The refinery: from a raw mesh to an asset, by background Blenders that the service starts one after the other.

The stages, in the order in which a mesh goes through them; each is a function of a mesh and settings:

=============  =====================================================================================================
reading        the file as one object, cleaned (cleaning, wrong_faces), small loose parts dropped (parts)
repairing      its shape as triangles that any method can take: no crowded edges, holes of bodies closed
symmetry       one half of it, where it is to be symmetric
specks         small loose parts beside the methods, each reduced by itself
methods/       the ladder's rungs: fewer triangles (collapsing, nearing), or quads (quads, rows, squaring)
judging        what a rung gave, verified and scored against the shape
dressing       the best of them: charts, flattening and packing of its UV layout; baking of the source's look
fitting        into the box, onto the pivot
writing        the files; picture: source and result side by side
=============  =====================================================================================================

``ladder`` decides which processes run: ``trying`` is one rung, ``process`` the end. A method is added by a file in
``methods``. Numbers that were tuned stand in ``tuning``, settings that are asked for in ``settings``; ``surface``,
``edges`` and ``texels`` are what the stages share; ``look`` (with corners, materials, sampling) is what a mesh shows.

``main({"folder": path})`` reads ``order.json`` in the folder and leaves there the files ``mesh.*``, ``progress`` (0 to
100), and ``report.json``.
"""

from __future__ import annotations

from collections.abc import Mapping


def main(request: Mapping[str, str]) -> int:
    """Finish what the folder holds; 0 where ``mesh.glb`` was written, 8 where the mesh is not usable, else 1."""
    from .finish import main as run  # the stages need Blender; what the service itself takes from here does not

    return run(request)
