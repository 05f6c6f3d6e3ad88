"""Which fault hits which request: rules, and the file that they are read from."""

from __future__ import annotations

import difflib
import fnmatch
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .exchange import Exchange, Stage
from .table import API, FAULTS, Fault, Moment


class FaultFileError(ValueError):
    """The file of faults cannot be used; the text is a sentence that says what is wrong, and where."""


@dataclass
class Rule:
    """A fault, and the requests that it hits: from the ``nth`` that fits, for ``times`` (None: until told)."""

    fault: str
    stage: Stage | None = None
    method: str = ""
    path: str = ""
    nth: int = 1
    times: int | None = None
    at: float = 0.5
    seconds: float | None = None
    met: int = 0
    """Requests that fitted so far."""

    @property
    def entry(self) -> Fault:
        """The table's entry of the fault."""
        return FAULTS[self.fault]

    @property
    def is_due(self) -> bool:
        """Whether the next request that fits is hit."""
        return self.met + 1 >= self.nth and (self.times is None or self.met + 1 < self.nth + self.times)

    def hits(self, exchange: Exchange) -> bool:
        """Count a request that fits, and tell whether it is hit."""
        fits = (
            self.entry.moment is not Moment.CONNECTING
            and self._is_at(exchange.stage)
            and (not self.method or self.method == exchange.method)
            and (not self.path or fnmatch.fnmatchcase(exchange.path, self.path))
        )
        return fits and self.hits_now()

    def hits_now(self) -> bool:
        """Count a request or a connection, and tell whether it is hit."""
        is_due = self.is_due
        self.met += 1
        return is_due

    def awaits(self, expected: Stage | None) -> bool:
        """Tell whether a connection, at the stage that is to come next, would be hit."""
        return self.entry.moment is Moment.CONNECTING and self.is_due and expected in self._stages

    @property
    def _stages(self) -> tuple[Stage, ...]:
        return self.entry.stages if self.stage is None else (self.stage,)

    def _is_at(self, stage: Stage | None) -> bool:
        if self.fault == "dns-failure":  # the address is in what was read before
            return stage is Stage.POLL
        if self.stage is None and (self.method or self.path):
            return True
        return stage in self._stages


@dataclass
class Plan:
    """What a file of faults says: the rules, and where the certificate's authority is written (empty: no TLS)."""

    rules: list[Rule]
    tls: str = ""


_RULE_KEYS = [field.name for field in fields(Rule) if field.name != "met"]


def read_plan(path: Path) -> Plan:
    """Read a file of faults. Raises FaultFileError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaultFileError(f"The file of faults {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise FaultFileError(f"The file of faults {path} is not JSON: {error}.") from None
    if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
        raise FaultFileError(f'The file of faults {path} must hold an object with a list of "rules".')
    unknown = set(document) - {"rules", "tls"}
    if unknown or not isinstance(document.get("tls", ""), str):
        wrong = f'"{min(unknown)}" is not known' if unknown else '"tls" must be the name of a file'
        raise FaultFileError(f"In the file of faults {path}, {wrong}.")
    rules = [_rule(number, found) for number, found in enumerate(document["rules"], 1)]
    tls = document.get("tls", "")
    if not tls and any(rule.fault == "certificate" for rule in rules):
        raise FaultFileError('The fault "certificate" needs "tls", the file that the authority is written to.')
    return Plan(rules, tls)


def _rule(number: int, found: object) -> Rule:
    if not isinstance(found, dict):
        raise FaultFileError(f"Rule {number} must be an object.")
    for key in found:
        if key not in _RULE_KEYS:
            raise FaultFileError(f'Rule {number} has an unknown key "{key}"; known are {", ".join(_RULE_KEYS)}.')
    entry = _entry(number, found.get("fault"))
    _check_types(number, found)
    stage = _stage(number, entry, found.get("stage"))
    if entry.moment is Moment.CONNECTING and (found.get("method") or found.get("path")):
        raise FaultFileError(f'Rule {number}: "{entry.name}" hits before a request was read; give a stage instead.')
    return Rule(**{**found, "stage": stage})


def _entry(number: int, name: object) -> Fault:
    entry = FAULTS.get(name) if isinstance(name, str) else None
    if entry is None:
        near = difflib.get_close_matches(str(name), FAULTS, 1)
        hint = f'; do you mean "{near[0]}"?' if near else f"; known are {', '.join(FAULTS)}."
        raise FaultFileError(f'Rule {number} names no fault that is known: "{name}"{hint}')
    if entry.moment is Moment.MACHINE:
        raise FaultFileError(f'Rule {number}: "{name}" is a fault of the client\'s own machine; no proxy can do it.')
    return entry


def stages_in_a_file(entry: Fault) -> list[str]:
    """Return the stages that the proxy can make a fault hit: names of the API are the client's business."""
    return [str(stage) for stage in entry.stages if entry.name != "dns-failure" or stage not in API]


def _stage(number: int, entry: Fault, name: object) -> Stage | None:
    if name is None:
        return None
    can = stages_in_a_file(entry)
    if name not in can:
        raise FaultFileError(f'Rule {number}: "{entry.name}" cannot hit the stage "{name}", but {", ".join(can)}.')
    return Stage(str(name))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


_TYPES: dict[str, tuple[str, Any]] = {
    "method": ("a text", lambda value: isinstance(value, str)),
    "path": ("a text", lambda value: isinstance(value, str)),
    "nth": ("a whole number from 1 on", _is_whole),
    "times": ("a whole number from 1 on, or null", lambda value: value is None or _is_whole(value)),
    "at": ("a number from 0 to 1", lambda value: _is_number(value) and value <= 1),
    "seconds": ("a number from 0 on", _is_number),
}


def _check_types(number: int, found: dict[str, Any]) -> None:
    for key, (wanted, is_right) in _TYPES.items():
        if key in found and not is_right(found[key]):
            raise FaultFileError(f'Rule {number}: "{key}" must be {wanted}.')
