"""What the figures were taken on: date, Blender, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def conditions(blender: str, command: str) -> str:
    """One sentence: when, on which Blender and machine, by which command, and whether something else ran."""
    return f"{today()}, {blender}, {processor()}, {cores()}. Command: `{command}`."


def today() -> str:
    return datetime.now(tz=UTC).date().isoformat()


def cores() -> str:
    """Return how many there are, of which system, and how busy they are now."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores, {platform.system()}{load}"


def module() -> str:
    """Return which Blender this Python has as a module, and which Python it is; bpy is not imported."""
    return f"Blender {importlib.metadata.version('bpy')} as a module, Python {platform.python_version()}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
