"""Which method a mesh gets: rung after rung in a process of its own each, until one is good; else the best there is.

Runs in the service, without Blender. A rung that crashes, runs too long or takes too much memory is no more than a rung
that failed; the last one is the cleaned input.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core import private_files, serialization
from . import tuning
from .methods import methods_for, name_of
from .refine_settings import RefineSettings, Topology

Run = Callable[[str, Mapping[str, str], float], "int | None"]
"""Runs ``main(request)`` of a module of the package in a background Blender, for at most so many seconds.

Without a limit (infinity) only the cleaned mesh is finished. Returns its exit code, negative for a signal; None where
it was too late, or there was no time to start it. May raise to give the refine up.
"""
UNUSABLE = 8
NO_TIME = "took too long"
FATAL = {"unusable", "inside out", "parts are lost"}
"""Faults with which a result is worse than the cleaned mesh."""
CLEANED = "cleaned"
CLEANED_SHARE = 1 / 3
"""Of a refine's time: kept for the cleaned mesh. One of 2 million triangles takes 30 s."""
LEAST_STEP_S = 1.0
"""A background Blender takes about as long to start."""


class TimeBudget:
    """The time of one whole refine, given out so that the cleaned mesh always has its share, whatever the rungs take.

    A rung's own limit is no help there: at 348,000 faces it is an hour, as long as the whole refine has.
    """

    def __init__(self, whole_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = clock() + whole_s
        self._kept_s = whole_s * CLEANED_SHARE

    def for_step(self, limit_s: float) -> float:
        """Return for how long a step with this limit may run; 0: not at all.

        One without a limit has all that is left; others have half of what is left beside the cleaned mesh's share, at
        most, so that those after them have time, too.
        """
        left_s = self._ends_at - self._clock()
        if math.isinf(limit_s):
            return max(0.0, left_s)
        granted_s = min(limit_s, (left_s - self._kept_s) / 2)
        return granted_s if granted_s >= LEAST_STEP_S else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """A rung and what came of it; the lowest score is the best."""

    method: str
    score: float
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def refine(folder: Path, run: Run) -> int | None:
    """Refine the order in ``folder`` and return the exit code of the last process; the files are in the folder then."""
    order = json.loads((folder / "order.json").read_text("utf-8"))
    settings = serialization.decode(RefineSettings, order.get("settings", {}))
    attempts: list[Attempt] | None = []
    if settings.topology is not Topology.KEEP:
        attempts = climbed(folder, settings, run)
        if attempts is None:
            return UNUSABLE
    return _finished(folder, order, attempts, run)


def climbed(folder: Path, settings: RefineSettings, run: Run) -> list[Attempt] | None:
    """Return the attempts, in their order; None where the mesh cannot be read, as the report says."""
    attempts: list[Attempt] = []
    limit_s = tuning.METHOD_LIMIT_S + settings.budget * tuning.METHOD_LIMIT_S_PER_FACE
    for number, method in enumerate(methods_for(settings.topology), start=1):
        code = run("remesh.run_method", {"folder": str(folder), "method": method, "try": str(number)}, limit_s)
        if code == UNUSABLE:
            return None
        attempts.append(_attempt(folder, method, code))
        if not attempts[-1].faults:
            break
    return attempts


def _attempt(folder: Path, method: str, code: int | None) -> Attempt:
    if code is None:
        return Attempt(method, float("inf"), (NO_TIME,))
    try:
        verdict = json.loads((folder / "scratch" / f"{method}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return Attempt(method, float("inf"), (f"ended with {code}",))
    faults = tuple(verdict["faults"])
    score = float("inf") if FATAL & set(faults) else verdict["score"]
    return Attempt(method, score, faults, tuple(verdict.get("notes", ())))


def _finished(folder: Path, order: dict[str, Any], attempts: Sequence[Attempt], run: Run) -> int | None:
    """Finish the best attempt; where that fails, the next one; at last the cleaned mesh."""
    usable = sorted(
        (one for one in attempts if one.score < float("inf")), key=lambda one: (len(one.faults) > 0, one.score)
    )
    choices = [*(one.method for one in usable), ""]
    told = [{**dataclasses.asdict(one), "score": one.score if one in usable else None} for one in attempts]
    code: int | None = None
    for choice in choices:
        notes = _notes(choice or CLEANED, attempts) if attempts else []
        (folder / "order.json").write_text(json.dumps({**order, "choice": choice, "notes": notes}), "utf-8")
        code = run("remesh", {"folder": str(folder)}, tuning.FINISH_LIMIT_S if choice else float("inf"))
        if code in {0, UNUSABLE}:
            break
    _add_attempts(folder / "report.json", told)
    return code


def _notes(choice: str, attempts: Sequence[Attempt]) -> list[str]:
    """Return sentences on which method was taken, why not the others, and what is not good about it.

    A sentence has one fault: so it can be translated.
    """
    notes = [
        f"The method {name_of(one.method)} was not taken: {fault}."
        for one in attempts
        if one.method != choice
        for fault in one.faults
    ]
    if choice == CLEANED:
        return [*notes, "No method could refine this mesh: it was cleaned only."]
    chosen = next(one for one in attempts if one.method == choice)
    name = name_of(choice)
    faulty = [f"The method {name} is the best of those tried, though: {fault}." for fault in chosen.faults]
    return [*notes, *(faulty or [f"Made by the method {name}."]), *chosen.notes]


def _add_attempts(path: Path, attempts: list[dict[str, Any]]) -> None:
    if attempts and path.exists():
        report = json.loads(path.read_text("utf-8"))
        private_files.write_atomically(path, json.dumps({**report, "attempts": attempts}))
