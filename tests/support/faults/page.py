"""The list of faults as docs/faults.md has it."""

from __future__ import annotations

from .schedule import stages_in_a_file
from .table import FAULTS, Moment


def list_of_faults() -> str:
    """Return a table in Markdown of what the proxy can do, made of the faults' docstrings."""
    rows = [
        f"| `{fault.name}` | {', '.join(stages_in_a_file(fault))} | {fault.text} |"
        for fault in FAULTS.values()
        if fault.moment is not Moment.MACHINE
    ]
    return "\n".join(["| fault | stages | what happens |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(list_of_faults())
