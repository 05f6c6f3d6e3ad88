"""The last lines of a child process's log: the reported reason if the process ended by itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..models import Secret
from ..redaction import Redactor

if TYPE_CHECKING:
    import subprocess

TAIL_BYTES = 4096
LINE_LIMIT = 1000
_LOG_HEAD = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?:[\w.]+ )?(?:WARNING|ERROR|CRITICAL) ")
_SENTENCE_ENDS = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class ChildLog:
    """A log that a child process appends to, and how long it was when the child was started."""

    path: Path
    size_before: int

    @classmethod
    def at_start(cls, path: Path) -> Self:
        """Return the log of a child that is about to be started."""
        try:
            return cls(path, path.stat().st_size)
        except OSError:
            return cls(path, 0)

    def reason(self, process: subprocess.Popen[bytes]) -> str:
        """Return the last line that the child wrote, as a sentence, or what it ended with; without keys or addresses.

        Empty where it wrote nothing and runs.
        """
        said = self._last_line() or _ended_with(process.poll())
        return said if not said or said.endswith(_SENTENCE_ENDS) else f"{said}."

    def _last_line(self) -> str:
        try:
            with self.path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                begin = self.size_before if self.size_before <= size else 0  # else it was begun anew
                log.seek(max(begin, size - TAIL_BYTES))
                lines = log.read().decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        redactor = Redactor((Secret(os.environ.get("CSM_API_KEY", "")),))
        return redactor.without_secrets(_LOG_HEAD.sub("", last))[:LINE_LIMIT]


def _ended_with(code: int | None) -> str:
    if code is None:
        return ""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
