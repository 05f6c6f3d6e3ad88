"""Tests in real Blenders with a window: what they need of the system, and what becomes of their pictures."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
from pathlib import Path

import environment

SUITES = {"sid": "5.2", "trixie": "4.3"}
"""Debian's suites whose Blender is tried, with its version; as in scripts/window/room.py."""
NEWEST_SUITE = "sid"
PICTURES = environment.ROOT / "build" / "window"
TOOLS = {"mmdebstrap": "mmdebstrap", "zstd": "zstd", "unshare": "util-linux", "montage": "imagemagick"}
DOCUMENTED = {"docs/panel.png": "5.2/panel/*_panel.png", "docs/languages/": "5.2/languages/panel_*.png"}
"""Pictures in docs, or folders of them, and the tests' pictures that they are."""
ACROSS, WIDTH, HEIGHT = 6, 400, 300

_STYLE = """
body { font: 14px sans-serif; background: #222; color: #ddd; margin: 2em }
section { display: flex; flex-wrap: wrap; gap: 1em } figure { margin: 0; width: 400px } img { width: 100% }
a { color: inherit; text-decoration: none }
"""


def install_tools() -> None:
    """Install the programs that are missing, as root on Debian; elsewhere they are named when they are missed."""
    apt = shutil.which("apt-get")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if not missing or apt is None or os.name != "posix" or os.geteuid() != 0:
        return
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
        subprocess.run([apt, "--quiet", *command], env=environ, stdout=sys.stderr.fileno(), check=False)


def write_sheet() -> None:
    """Write build/window/index.html and sheet.png with every picture that lies there."""
    pictures = sorted(PICTURES.glob("*/*/*.png"))
    if not pictures:
        return
    (PICTURES / "index.html").write_text(_page(pictures), encoding="utf-8")
    print(f"\n{len(pictures)} pictures: {PICTURES / 'index.html'}")
    montage = shutil.which("montage")
    if montage is None:
        print("without a sheet as PNG: ImageMagick is missing (apt-get install imagemagick)")
        return
    # Made small as they are read: all of them at once would be more than ImageMagick may take.
    labelled = [text for path in pictures for text in ("-label", _label(path), f"{path}[{WIDTH}x{HEIGHT}]")]
    geometry = ["-tile", f"{ACROSS}x", "-geometry", f"{WIDTH}x{HEIGHT}+6+6"]
    paint = ["-background", "#222", "-fill", "#ddd", "-depth", "8"]
    sheet = PICTURES / "sheet.png"
    done = subprocess.run([montage, *geometry, *paint, *labelled, str(sheet)], check=False)
    print(sheet if done.returncode == 0 else "without a sheet as PNG: what ImageMagick says stands above")


def keep_pictures() -> None:
    """Copy the pictures that the documentation shows out of the tests' own."""
    for document, pattern in DOCUMENTED.items():
        for found in sorted(PICTURES.glob(pattern)):
            target = environment.ROOT / (document + found.name if document.endswith("/") else document)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, target)
            print(f"{document}: from {found.relative_to(PICTURES)}")


def _label(path: Path) -> str:
    return " ".join((*path.relative_to(PICTURES).parts[:2], path.stem.replace("_", " ")))


def _page(pictures: list[Path]) -> str:
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Pictures of the tests in a window</title><style>{_STYLE}</style>"
    ]
    title = ""
    for path in pictures:
        place = path.relative_to(PICTURES)
        if str(place.parent) != title:
            title = str(place.parent)
            parts.append(f"{'</section>' if len(parts) > 1 else ''}<h2>{html.escape(title)}</h2><section>")
        link, name = html.escape(place.as_posix()), html.escape(path.stem.replace("_", " "))
        parts.append(f'<figure><a href="{link}"><img src="{link}" loading=lazy><figcaption>{name}</a></figure>')
    return "\n".join([*parts, "</section>\n"])
