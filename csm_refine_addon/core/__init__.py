"""What a refine job is and how it is driven, without Blender: plain CPython, SQLite and ``requests``."""
