"""Print the figures as a table, and write docs/benchmarks.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.sampling import Figure

HEAD = """# Benchmarks

For everyone who compares versions or machines. `python3 scripts/bench.py` writes this page (`--window` for the part
with a window); a missed goal is reported and is no failure. Each sample runs in a process of its own: the built zip,
installed into an empty user folder of a real Blender.

"""
_MARKS = {True: "yes", False: "**no**", None: ""}


class Section(NamedTuple):
    """What one measurement found, when, and on what."""

    title: str
    conditions: str
    figures: list[Figure]

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "figures": [figure._asdict() for figure in self.figures]}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Section:
        return cls(**{**found, "figures": [Figure(**figure) for figure in found["figures"]]})


def show(section: Section) -> None:
    """Print a section as a table."""
    print(f"\n{section.title}")
    width = max(len(figure.what) for figure in section.figures)
    for figure in section.figures:
        goal = f"goal {figure.goal}: {'met' if figure.met else 'NOT MET'}" if figure.goal else ""
        print(f"  {figure.what:<{width}}  {figure.value:>12}  {goal}")
        print(f"  {'':<{width}}  {figure.how}")


def keep(path: Path, name: str, section: Section) -> dict[str, Section]:
    """Put a section beside those measured before, and return them all."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found[name] = section.to_json()
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return {key: Section.from_json(kept) for key, kept in found.items()}


def write(path: Path, sections: list[Section]) -> None:
    """Write the document."""
    parts = [HEAD, *(_markdown(section) for section in sections)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(part.strip() + "\n" for part in parts), encoding="utf-8")


def _markdown(section: Section) -> str:
    lines = [f"## {section.title}", "", section.conditions, ""]
    lines += ["| what | value | goal | met | how |", "|---|---|---|---|---|"]
    lines += [
        f"| {figure.what} | {figure.value} | {figure.goal} | {_MARKS[figure.met]} | {figure.how} |"
        for figure in section.figures
    ]
    return "\n".join(lines)
