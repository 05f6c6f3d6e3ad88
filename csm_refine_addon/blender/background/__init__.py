"""Import, export and preparation of meshes; mostly run in a background Blender process."""
