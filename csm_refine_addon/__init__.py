"""CSM Refine: sends a 3D object's session to an image-to-3D service and brings the refined mesh back into its place.

Importing this package imports neither ``bpy`` nor any library; only :func:`register` touches Blender.
"""


def register() -> None:
    """Add the extension's classes, properties, handlers and command to the running Blender."""
    from .blender import registration

    registration.register()


def unregister() -> None:
    """Take back everything that :func:`register` added, in the reverse order."""
    from .blender import registration

    registration.unregister()
