"""The local refine service: the image-to-3D API on loopback, with background Blenders doing the refining."""
