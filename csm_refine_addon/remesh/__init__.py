"""The remesh pipeline: turns a raw mesh into a refined asset in background Blenders, started one by one by the service.

Stages in processing order; each is a function of a mesh and settings:

=============  =====================================================================================================
read           source_reader: one cleaned object (cleaning, face_orientation), without small components (components)
repair         triangles that every method accepts: no non-manifold edges, holes of closed bodies filled
symmetry       one half of the shape, where the result is to be symmetric
components     small_components: reduced separately from the method
methods/       the fallback chain: fewer triangles (decimation, projection), or quads (quads, quad_strips,
               quad_regularization)
evaluate       checks and scores the result of a method against the source shape
retexture      UV layout of the best result (charts, unwrapping, packing) and baking of the source's materials
final_fit      scales to the box, moves the origin to the pivot
output         result_writer: the files; comparison_picture: source and result side by side
=============  =====================================================================================================

``fallback`` decides which processes run: ``run_method`` runs one method, ``finish`` is the last process. A file in
``methods`` adds a method. ``tuning`` holds the tuned numbers, ``refine_settings`` the settings of a request. The stages
share ``surface``, ``edges`` and ``raster``; ``material_sampling`` (with corner_attributes, source_materials, sampling)
evaluates the materials of a mesh.

``main({"folder": path})`` reads ``order.json`` in the folder and writes the files ``mesh.*``, ``progress`` (0 to 100)
and ``report.json`` there.
"""

from __future__ import annotations

from collections.abc import Mapping


def main(request: Mapping[str, str]) -> int:
    """Finish the refine in the folder; return 0 if ``mesh.glb`` was written, 8 if the mesh is unusable, else 1."""
    from .finish import main as run  # needs Blender; the modules that the service imports do not

    return run(request)
