"""Every fault at every stage that it can hit, and what is to become of the job then."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.faults import FAULTS, Rule, Stage
from tests.support.faults.table import Fault, Moment

B, POST, POLL, DOWNLOAD, PREPARE, PLACE = Stage
UNCERTAIN = "UNCERTAIN: uncertain"
TWICE = 2
"""How often a fault hits before it has passed."""


class Case(NamedTuple):
    """A fault at a stage, what the proxy is told, and how the job stands then, before the user does anything."""

    fault: str
    stage: Stage
    rules: tuple[dict[str, Any], ...]
    result: str = "READY"
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.fault

    def new_rules(self) -> list[Rule]:
        return [Rule(**rule) for rule in self.rules]

    def for_good(self) -> Case:
        """Return the same with a fault that does not pass."""
        rules = tuple({**rule, "times": None} for rule in self.rules)
        return self._replace(rules=rules, label=f"{self.name}, for good")


REDIRECTS = ("redirect", "redirect-file", "redirect-circle")
_NOT_READY: dict[tuple[str, Stage], str] = {
    **{(name, stage): "FAILED: key_refused" for name in ("401", "403") for stage in (B, POST)},
    **{("402", stage): "FAILED: out_of_credits" for stage in (B, POST)},
    **{("404", stage): "FAILED: session_unknown" for stage in (B, POST)},
    **{("409", stage): "FAILED: session_not_refinable" for stage in (B, POST)},
    **{(name, POST): UNCERTAIN for name in ("reset-before", "html-200", "500-html", "502-html", "200-failing")},
    **{(name, POST): UNCERTAIN for name in ("proxy-refuses", "400-empty", "503-seconds", *REDIRECTS)},
    **{(name, B): "FAILED: bad_input" for name in REDIRECTS},
    ("endless", DOWNLOAD): "FAILED: mesh_unusable",
}
"""Where a fault is the service's clear no, or nobody knows: the user decides. All else comes to its end by itself."""


def network_cases() -> list[Case]:
    """What the proxy does, in the table's order."""
    found: list[Case] = []
    for fault in FAULTS.values():
        if fault.moment is not Moment.MACHINE:
            for stage in fault.stages:
                found += _SPECIAL[fault.name](stage) if fault.name in _SPECIAL else [_usual(fault, stage)]
    return found


def machine_cases() -> list[Case]:
    """What happens on the client's own machine."""
    faults = [fault for fault in FAULTS.values() if fault.moment is Moment.MACHINE]
    return [Case(fault.name, stage, ()) for fault in faults for stage in fault.stages]


def can_last(case: Case) -> bool:
    """Tell whether a fault is another one where it does not pass; some have to be told to end already."""
    told = {rule["times"] for rule in case.rules}
    return told == {TWICE} and case.fault != "drip"


def _usual(fault: Fault, stage: Stage) -> Case:
    rule = {"fault": fault.name, "stage": stage, "times": TWICE}
    return Case(fault.name, stage, (rule,), _NOT_READY.get((fault.name, stage), "READY"))


def _until_told(name: str, stage: Stage) -> list[Case]:
    rule = {"fault": name, "stage": stage, "times": None}
    return [Case(name, stage, (rule,), _NOT_READY.get((name, stage), "READY"))]


def _after_a_cut(name: str, stage: Stage) -> list[Case]:
    cut = {"fault": "mesh-cut", "times": 1}
    return [Case(name, stage, (cut, {"fault": name, "nth": 2, "times": 1}), label=f"{name}, after mesh-cut")]


def _cuts(stage: Stage) -> list[Case]:
    places = [
        Case("mesh-cut", stage, ({"fault": "mesh-cut", "at": tenth / 10, "times": 1},), label=f"mesh-cut at {tenth}0 %")
        for tenth in range(10)
    ]
    every_time = {"fault": "mesh-cut", "at": 0.4, "times": 10}
    return [*places, Case("mesh-cut", stage, (every_time,), label="mesh-cut, ten times in a row")]


def _old_end(stage: Stage) -> list[Case]:
    before = {"fault": "old-end", "stage": B, "times": None}
    after = {"fault": "old-end", "stage": POLL, "times": TWICE + 1}
    return [Case("old-end", stage, (before,) if stage is B else (before, after))]


def _drip(stage: Stage) -> list[Case]:
    return [Case("drip", stage, ({"fault": "drip", "stage": stage, "times": TWICE, "seconds": 0.01},))]


_SPECIAL = {
    "refused": lambda stage: _until_told("refused", stage),
    "dns-failure": lambda stage: _until_told("dns-failure", stage) if stage is DOWNLOAD else [
        Case("dns-failure", stage, ())
    ],
    "mesh-cut": _cuts,
    "old-end": _old_end,
    "drip": _drip,
    "no-range": lambda stage: _after_a_cut("no-range", stage),
    "no-if-range": lambda stage: _after_a_cut("no-if-range", stage),
    "mesh-changed": lambda stage: _after_a_cut("mesh-changed", stage),
    "range-refused": lambda stage: _after_a_cut("range-refused", stage),
    "endless": lambda stage: _until_told("endless", stage),
}  # fmt: skip
