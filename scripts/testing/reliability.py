"""Write build/reliability.md: one table for each file that the reliability tests left in build/reliability."""

from __future__ import annotations

import json
import platform
import re
import time
from pathlib import Path
from typing import Any

import environment

SEEN = environment.ROOT / "build" / "reliability"
PAGE = environment.ROOT / "build" / "reliability.md"
COMMAND = "python3 scripts/test.py --long"
TITLES = {
    "faults": "Faults of the service and the network, at each stage",
    "crashes": "Crashes",
    "three": "Two Blenders and a command line on one journal, with random actions",
    "journals": "Journals that are not as they should be",
    "hostile": "Hostile input",
    "fuzzing": "Hostile input, made by a fuzzer",
    "secrets": "Where keys, signatures and the account were looked for",
    "service": "The local service under odd requests",
    "load": "Load",
}


def write_page() -> None:
    """Write the report, in the order of TITLES; a table without a file is named as missing."""
    parts = [_head(), *(f"## {title}\n\n{_table(SEEN / f'{name}.json')}" for name, title in TITLES.items())]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head() -> str:
    machine = f"{platform.system()}, {platform.machine()}, Python {platform.python_version()}"
    return (
        "# Reliability report\n\n"
        f"Written by `{COMMAND}` ({machine}); not edited by hand. Each table is one run's, of the day and the "
        "length that it names: `long` is this command's, `all` is CI's. Two run at a time, so seconds are pessimistic."
    )


def _table(path: Path) -> str:
    if not path.exists():
        return "Not measured in this checkout."
    day = time.strftime("%Y-%m-%d", time.localtime(path.stat().st_mtime))
    seen = json.loads(path.read_text(encoding="utf-8"))
    rows = _grouped(seen["rows"])
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    return "\n".join([f"{day}, `--length {seen['length']}`\n", *(f"| {' | '.join(line)} |" for line in lines)])


def _grouped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge rows that differ only in their way, their seconds and the random moment; count them in ``times``."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        moment = {"where": re.sub(r"^after [\d.]+ s$", "at a random moment", row["where"])} if "where" in row else {}
        same = {name: value for name, value in {**row, **moment}.items() if name not in ("way", "seconds")}
        groups.setdefault(json.dumps(same), []).append(row)
    if len(groups) == len(rows):
        return rows
    found = []
    for key, alike in groups.items():
        slowest = max((row["seconds"] for row in alike if row.get("seconds") is not None), default=None)
        found.append({**json.loads(key), "times": len(alike), "slowest, s": slowest})
    return found


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
