"""Everything that touches Blender's data and window. The only package whose modules import ``bpy``."""
