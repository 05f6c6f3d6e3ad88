"""The table of all results: for the terminal, and as Markdown."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmark import machine

from . import sheet
from .rounds import Entry


class Column(NamedTuple):
    """A column's heading, and how a measure is shown in it."""

    heading: str
    measure: str
    show: Callable[[Any], str]


def _share(digits: int) -> Callable[[Any], str]:
    return lambda value: f"{value * 100:.{digits}f} %"


def _number(digits: int) -> Callable[[Any], str]:
    return lambda value: f"{value:,.{digits}f}"


def _whether(value: object) -> str:
    return "yes" if value else "no"


COLUMNS = (
    Column("distance", "distance", _number(2)),
    Column("normals", "normals", _number(1)),
    Column("silhouettes", "silhouettes", _number(4)),
    Column("look", "look", _number(1)),
    Column("faces", "faces", _number(0)),
    Column("triangles", "triangles", _number(0)),
    Column("quads", "quads", _share(0)),
    Column("off square", "off_square", _number(1)),
    Column("closed", "watertight", _whether),
    Column("non-manifold", "non_manifold", _number(0)),
    Column("at odds", "at_odds", _number(0)),
    Column("from behind", "flipped", _share(2)),
    Column("overlap", "overlap", _share(2)),
    Column("stretch", "stretch", _number(3)),
    Column("atlas", "atlas_use", _share(0)),
    Column("islands", "islands", _number(0)),
    Column("not baked", "unbaked", _share(2)),
)
HEAD = """# Refining, measured

For everyone who compares tools. Written by `{command}`, {date}, {machine}. `scripts/judge.py` compares any two files
in the same way.

| column | meaning |
|---|---|
| distance | mean exact distance of 100,000 points on each surface to the other one, in 1e-4 of the box's diagonal |
| normals | mean angle between the faces there, in degrees |
| silhouettes | intersection over union of the silhouettes in eight views |
| look | PSNR in dB of the base colour in these views, where either mesh is visible |
| triangles | number of triangles that are drawn, two for a quad |
| off square | mean difference of the quads' corners from 90° |
| closed | every edge has two faces |
| at odds | edges whose faces have opposite orientations |
| from behind | share of the views that shows the back of a face where the source shows its front |
| stretch | L2 (Sander 2001); 1 is none |
| not baked | share of texels that are black where the source is not |
| s, MB | all processes of the tool, from its start to its files, including Blender's start |

Local refining (`ours`) also writes FBX, OBJ and USDZ in that time. Tools without textures of their own got them from
Blender's Smart UV and Cycles.
"""


def conditions(arguments: Sequence[str]) -> dict[str, str]:
    """Return when, with which command, on what kind of machine, and how busy it was; meshes without their folders."""
    words = [Path(word).name if os.sep in word else word for word in arguments]
    return {
        "command": shlex.join(["python3", "scripts/bench_refine.py", *words]),
        "date": machine.today(),
        "machine": machine.cores(),
    }


def show(entries: Sequence[Entry]) -> None:
    """Print the table."""
    for (mesh, faces), group in _groups(entries).items():
        print(f"\n{mesh}, {faces} faces")
        rows = [["", *(column.heading for column in COLUMNS), "s", "MB"], *map(_row, group)]
        widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def write(path: Path, entries: Sequence[Entry], about: dict[str, str]) -> None:
    """Write the table as Markdown, with the contact sheet of each mesh."""
    parts = [HEAD.format(**about)]
    headings = ["tool", *(column.heading for column in COLUMNS), "s", "MB"]
    for (mesh, faces), group in _groups(entries).items():
        lines = [f"## {mesh}, {group[0].triangles:,} triangles, to {faces:,} faces", ""]
        lines += ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|"]
        lines += ["| " + " | ".join(_row(entry)) + " |" for entry in group]
        lines += ["", f"![{mesh}, {faces} faces, by each tool]({mesh}_{faces}.png)"]
        lines += [f"\n![{entry.title}]({sheet.name_of_picture(entry)})" for entry in group if sheet.has_picture(entry)]
        parts.append("\n".join(lines))
    path.write_text("\n".join(part.strip() + "\n" for part in parts), encoding="utf-8")


def _groups(entries: Sequence[Entry]) -> dict[tuple[str, int], list[Entry]]:
    groups: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.label, entry.faces), []).append(entry)
    return groups


def _row(entry: Entry) -> list[str]:
    seconds, memory = f"{entry.outcome.seconds:.1f}", f"{entry.outcome.memory / 1e6:,.0f}"
    if not entry.measures:
        return [entry.title, entry.outcome.failure, *[""] * (len(COLUMNS) - 1), seconds, memory]
    found = [entry.measures.get(column.measure) for column in COLUMNS]
    shown = ["" if value is None else column.show(value) for column, value in zip(COLUMNS, found, strict=True)]
    return [entry.title, *shown, seconds, memory]
