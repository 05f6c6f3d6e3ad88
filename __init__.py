"""Blender looks for an extension's package beside its manifest; the add-on itself is `csm_refine_addon`."""

from .csm_refine_addon import register, unregister

__all__ = ["register", "unregister"]
