"""Diagnostics bundle for a bug report. The displayed text and the written text are the same."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .data_dir import DataDir
from .errors import StorageError
from .models import Job
from .redaction import Redactor

LOG_LINES = 200
LOG_BYTES = 256 * 1024
LINE_LIMIT = 1000
NOTE = (
    "Keys, signatures, cookies, what stands in addresses after their host, e-mail addresses and the home folder's name "
    "are taken out."
)


@dataclass(frozen=True, slots=True)
class Part:
    """One text of the bundle, with its file name."""

    name: str
    text: str


def collect(
    home: DataDir,
    redact: Redactor,
    *,
    versions: Mapping[str, object],
    settings: Mapping[str, object],
    jobs: Iterable[tuple[Job, Sequence[tuple[float, str]]]],
) -> tuple[Part, ...]:
    """Return the bundle's parts: versions, settings, each job with its history, and the logs' last lines.

    A missing log has no part.
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
    """Return a job as JSON, with the time and state of each transition."""
    return {**job.to_json(), "history": [{"at": at, "state": state} for at, state in history]}


def last_lines(path: Path, count: int = LOG_LINES) -> str:
    """Return the last lines of a log, each at most LINE_LIMIT characters; empty if it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line[:LINE_LIMIT] for line in lines[-count:])


def as_text(parts: Sequence[Part]) -> str:
    """Return the whole bundle as one text, as it is displayed."""
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
