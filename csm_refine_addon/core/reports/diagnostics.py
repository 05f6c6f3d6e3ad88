"""A bundle for a bug report: what is in it, with everything taken out that is nobody's business, and writing it.

Taken out are keys and whatever looks like one, signatures, what stands in a URL after its host, e-mail addresses, and
the user's home folder, which becomes ``~``. The text that is shown is the text that is written.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StorageError
from ..models import Job, Secret
from ..storage.home import Home

LOG_LINES = 200
LOG_BYTES = 256 * 1024
LINE_LIMIT = 1000
TAKEN_OUT = "[taken out]"
NOTE = (
    "Keys, signatures, what stands in addresses after their host, e-mail addresses and the home folder's name are "
    "taken out."
)

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s/?#\"'<>\\]*)([^\s\"'<>\\]*)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"\b(sig|signature|se|st|sp|sr|sv|skoid|sktid|token|access_token|code_verifier|key|api[-_]?key|x-api-key|password|"
    r"secret|x-amz-[a-z-]+|x-goog-[a-z-]+)(\"?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s&\"',;}]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_USUAL_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{32}(?![0-9A-Za-z])")
_MAIL = re.compile(r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
_SLASH = r"(?:\\\\|\\|/)"
_HOMES = re.compile(
    rf"(/home/|/Users/|[A-Za-z]:{_SLASH}Users{_SLASH}|[A-Za-z]:{_SLASH}Documents and Settings{_SLASH})[^/\\\s\"':;,]+"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One text of the bundle, with the name of the file that it becomes."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets out of a text. ``secrets`` are known ones, whatever their form; ``home`` is the user's folder."""

    secrets: tuple[Secret, ...] = ()
    home: str = ""

    def __call__(self, text: str) -> str:
        """Return the text without anything that is nobody's business."""
        return self._without_home(self.without_secrets(text))

    def without_secrets(self, text: str) -> str:
        """Return the text without keys, signatures and the like, for the user's own eyes: folders stay as they are."""
        for known in sorted((secret.reveal() for secret in self.secrets if secret), key=len, reverse=True):
            text = text.replace(known, TAKEN_OUT)
        text = _URL.sub(_bare_url, text)
        text = _BEARER.sub(rf"\1 {TAKEN_OUT}", text)
        text = _PARAMETER.sub(rf"\1\2{TAKEN_OUT}", text)
        text = _MAIL.sub(TAKEN_OUT, text)
        return _USUAL_KEY.sub(TAKEN_OUT, text)

    def _without_home(self, text: str) -> str:
        for spelling in _spellings(self.home):
            text = re.sub(rf"{re.escape(spelling)}(?![\w.-])", "~", text, flags=re.IGNORECASE if os.name == "nt" else 0)
        return _HOMES.sub("~", text)


def _bare_url(found: re.Match[str]) -> str:
    """Keep scheme, host and port; drop name and password, path, query and fragment."""
    scheme, host, rest = found[1], found[2].rpartition("@")[2], found[3]
    return f"{scheme}://{host}" + (f"/{TAKEN_OUT}" if rest.strip("/") else "")


def _spellings(home: str) -> list[str]:
    """Return the ways in which a folder is written: as it is, with other slashes, and inside JSON."""
    home = home.rstrip("/\\")
    if not home:
        return []
    forms = {home, home.replace("\\", "/"), home.replace("\\", "\\\\")}
    return sorted(forms, key=len, reverse=True)


def collect(
    home: Home,
    redact: Redactor,
    *,
    versions: Mapping[str, object],
    settings: Mapping[str, object],
    jobs: Iterable[tuple[Job, Sequence[tuple[float, str]]]],
) -> tuple[Part, ...]:
    """Return the bundle's parts: versions, settings, each job with its history, and the logs' last lines.

    A log that is not there has no part.
    """
    known = list(jobs)
    parts = [Part("versions.json", _json(versions)), Part("settings.json", _json(settings))]
    parts += [Part(f"job_{job.id}.json", _json(job_document(job, history))) for job, history in known]
    logs = {"worker.log": home.worker_log, "service.log": home.service / "service.log"}
    for job, _history in known:
        logs[f"job_{job.id}_blender.log"] = home.jobs / job.id / "blender.log"
    parts += [Part(name, text) for name, path in logs.items() if (text := last_lines(path))]
    return tuple(Part(part.name, redact(part.text)) for part in parts)


def job_document(job: Job, history: Sequence[tuple[float, str]]) -> dict[str, object]:
    """Return a job as JSON with when it came into which state."""
    return {**job.to_json(), "history": [{"at": at, "state": state} for at, state in history]}


def last_lines(path: Path, count: int = LOG_LINES) -> str:
    """Return the last lines of a log, none of them endless; an empty text where it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line[:LINE_LIMIT] for line in lines[-count:])


def as_text(parts: Sequence[Part]) -> str:
    """Return the whole bundle as one text: just what is shown."""
    return "\n\n".join([NOTE, *(f"=== {part.name}\n{part.text}" for part in parts)]) + "\n"


def write(parts: Sequence[Part], path: Path) -> None:
    """Write the bundle: a zip with a file for each part, or for any other ending one text. Raises StorageError."""
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("README.txt", f"{NOTE}\n")
                for part in parts:
                    archive.writestr(part.name, part.text)
        else:
            path.write_text(as_text(parts), encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"The diagnostics cannot be written to {path}: {error.strerror or error}.", "Choose another folder."
        ) from error


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str)
