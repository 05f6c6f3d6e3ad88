"""The local refine service: the image-to-3D API over HTTP; background Blender processes refine the meshes."""
