"""Jobs, service clients and storage without Blender: plain CPython, SQLite and ``requests``."""
