"""A real Blender with a window, for pictures and for what only a window shows: see `blender.run`."""
