"""Everything that an extension may leave in Blender, as plain values that can be compared.

Timers cannot be listed; `timers_of` asks for each function of the extension's modules instead.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import bpy


def snapshot() -> dict[str, list[str]]:
    """Handlers, classes, properties, operators, menu entries, keys, threads and child processes, each by name."""
    return {
        "properties": sorted(_properties()),  # first: Blender makes some of its classes when they are asked for
        "handlers": sorted(_handlers()),
        "classes": sorted(_classes()),
        "operators": sorted(f"{module}.{name}" for module in dir(bpy.ops) for name in dir(getattr(bpy.ops, module))),
        "menu entries": sorted(_menu_entries()),
        "keys": sorted(_keys()),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "processes": sorted(_child_processes()),
        # Blender adds the folder of the extensions' wheels, and leaves it there.
        "import paths": sorted(path for path in sys.path if "/extensions/.local/" not in Path(path).as_posix()),
    }


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """What came (+) and what went (-), by kind; empty when nothing did."""
    found = {}
    for kind, names in before.items():
        came, went = set(after[kind]) - set(names), set(names) - set(after[kind])
        if came or went:
            found[kind] = [*(f"+ {name}" for name in sorted(came)), *(f"- {name}" for name in sorted(went))]
    return found


def without_children(deadline_s: float) -> dict[str, list[str]]:
    """A snapshot as soon as no child process is left, at the latest after the deadline."""
    ends = time.monotonic() + deadline_s
    while any(_child_processes()) and time.monotonic() < ends:
        time.sleep(0.2)  # a process that another one started cannot be waited for
    return snapshot()


def functions_of(package: str) -> dict[str, object]:
    """Every function and method that the loaded modules of a package hold, by its full name."""
    modules = [module for name, module in list(sys.modules.items()) if f"{name}.".startswith(f"{package}.")]
    owners = [(module.__name__, owner) for module in modules for owner in (module, *_classes_in(module))]
    return {f"{name}.{key}": value for name, owner in owners for key, value in vars(owner).items() if callable(value)}


def timers_of(functions: dict[str, object]) -> list[str]:
    return sorted(name for name, function in functions.items() if bpy.app.timers.is_registered(function))


def _classes_in(module):
    return [value for value in vars(module).values() if isinstance(value, type)]


def _handlers():
    for kind in dir(bpy.app.handlers):
        listed = getattr(bpy.app.handlers, kind)
        if isinstance(listed, list):
            yield from (f"{kind}: {_name_of(handler)}" for handler in listed)


def _classes():
    bases = (bpy.types.Panel, bpy.types.Operator, bpy.types.Menu, bpy.types.Header, bpy.types.UIList)
    groups = (bpy.types.PropertyGroup, bpy.types.AddonPreferences, bpy.types.Gizmo, bpy.types.GizmoGroup)
    for base in (*bases, *groups):
        yield from (_name_of(cls) for cls in _below(base) if getattr(cls, "is_registered", False))


def _below(cls):
    for below in cls.__subclasses__():
        yield below
        yield from _below(below)


def _properties():
    for name in dir(bpy.types):
        described = getattr(getattr(bpy.types, name), "bl_rna", None)
        if described is not None:
            yield from (f"{name}.{key}" for key in described.properties.keys())  # noqa: SIM118 -- a bpy collection yields values


def _menu_entries():
    """What was appended; once something was, Blender keeps the menu's own `draw` in the same list."""
    for name in dir(bpy.types):
        entries = getattr(getattr(getattr(bpy.types, name), "draw", None), "_draw_funcs", [])
        yield from (f"{name}: {_name_of(entry)}" for entry in entries if not entry.__module__.startswith("bl_ui"))


def _keys():
    configurations = bpy.context.window_manager.keyconfigs
    for configuration in (configurations.addon, configurations.user):
        for keymap in configuration.keymaps if configuration else []:
            yield from (f"{keymap.name}: {item.idname} {item.to_string()}" for item in keymap.keymap_items)


def _child_processes():
    """Children, and children's children, of this process; where /proc shows them."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = status.read_text().partition(" (")
        except OSError:  # it ended in between
            continue
        state, parent = rest.rpartition(")")[2].split()[:2]
        if state != "Z":  # ended, and not asked yet how
            parents[int(pid)] = int(parent)
    yield from (_command_of(pid) for pid in parents if _descends_from_us(pid, parents))


def _descends_from_us(pid, parents):
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def _command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return f"process {pid}"


def _name_of(thing):
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing)}"
