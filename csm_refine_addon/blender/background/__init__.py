"""Mesh files <-> Blender meshes; all but ``session_source.write`` runs in a background Blender."""
