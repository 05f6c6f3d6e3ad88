"""Which sessions are looked up, and what came out: ``draw`` reads from here, the timer's turn does the rest.

Nothing is asked because a file was opened or Blender started: only what the user typed, picked or opened since then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bpy

from ...core import validation
from ...core.data_dir import DataDir
from ...core.errors import CsmError
from ...core.jobs.lookups import Lookup, LookupKind, SeenSession
from ...core.models import LOCAL, Job, JobState, Secret
from .. import preferences
from ..properties import settings_of
from ..ui import thumbnails
from . import known_sessions, submit

if TYPE_CHECKING:
    from ...core.jobs.job_store import JobStore

DEBOUNCE_S = 0.6
"""How long after the last change of the code it is read."""
FIRST_PAGE = 0
_RESTING = frozenset({JobState.READY, JobState.PLACED, JobState.FAILED, JobState.STOPPED, JobState.UNCERTAIN})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the panel shows: a code at a service; an empty code is the account's list."""

    code: str
    service: str


class SessionLookup:
    """What this Blender has asked, and every answer that the journal holds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lookups: dict[str, Lookup] = {}
        self._revision = 0
        self._mine: set[str] = set()
        self._asked: set[tuple[_Wanted, Secret | None, float]] = set()
        self._noted: dict[str, _Wanted] = {}
        self._changed: _Wanted | None = None
        self._due_at = math.inf
        self._last_page: dict[str, int] = {}
        self._panel_drawn = self._list_drawn = self._list_was_closed = False
        self._list_opened = self._was_waiting = False

    # --- for draw -------------------------------------------------------------------------------------------------

    def note_panel(self, context: bpy.types.Context) -> None:
        """Note that the panel with the code is drawn: what stands in it the first time was not typed into it."""
        self._panel_drawn = True
        if context.scene.name_full not in self._noted:
            self._noted[context.scene.name_full] = _Wanted(_code(context), _service())

    def note_list(self) -> None:
        """Note that the list of sessions is drawn: it is read when the user opens it."""
        self._list_drawn = True

    def session(self, code: str, service: str) -> Lookup | None:
        """Return what is known of a session, and what was asked."""
        return self._lookups.get(_question(LookupKind.SESSION, service, code).key)

    def page(self, service: str) -> Lookup | None:
        """Return the page of the list that was asked for last."""
        number = self._last_page.get(service, FIRST_PAGE)
        return self._lookups.get(_question(LookupKind.LIST, service, str(number)).key)

    def sessions(self, service: str) -> list[SeenSession]:
        """Return the sessions of all pages so far, the newest first, each once however the service counts its pages."""
        found: dict[str, SeenSession] = {}
        for number in range(self._last_page.get(service, FIRST_PAGE) + 1):
            page = self._lookups.get(_question(LookupKind.LIST, service, str(number)).key)
            for session in page.sessions if page else ():
                found.setdefault(session.code, session)
        return sorted(found.values(), key=lambda session: -(session.made_at or 0.0))

    def is_waiting(self) -> bool:
        """Tell whether an answer to a question of this Blender is still to be expected."""
        return bool(self.services())

    def services(self) -> set[str]:
        """Return the services whose answers are waited for."""
        now = self._clock()
        mine = (self._lookups[key] for key in self._mine if key in self._lookups)
        return {lookup.service for lookup in mine if lookup.is_open(now)}

    def now(self) -> float:
        """Return the time that questions and answers are dated with."""
        return self._clock()

    # --- for operators --------------------------------------------------------------------------------------------

    def ask_session(self, journal: JobStore, code: str, service: str) -> None:
        """Ask how a session stands. Raises StorageError."""
        self._ask(journal, _question(LookupKind.SESSION, service, code))

    def ask_list(self, journal: JobStore, service: str) -> None:
        """Ask for the account's sessions from the beginning. Raises StorageError."""
        self._ask(journal, _question(LookupKind.LIST, service, str(FIRST_PAGE)))
        self._last_page[service] = FIRST_PAGE

    def ask_more(self, journal: JobStore, service: str) -> None:
        """Ask for the list's next page. Raises StorageError."""
        number = self._last_page.get(service, FIRST_PAGE) + 1
        self._ask(journal, _question(LookupKind.LIST, service, str(number)))
        self._last_page[service] = number

    def file_loaded(self) -> None:
        """Another file is open: what stands in its fields was not typed here."""
        self._noted.clear()
        self._changed = None
        self._list_was_closed = self._list_opened = self._list_drawn = False

    # --- the timer's turn -----------------------------------------------------------------------------------------

    def read(self, journal: JobStore) -> bool:
        """Take in what was asked and answered; tell whether there was anything. Raises StorageError."""
        found = journal.lookups_since(self._revision)
        for lookup in found:
            self._take_in(lookup)
        for lookup in found:
            self._go_past_the_first_page(journal, lookup)
        return bool(found)

    def turn(
        self, context: bpy.types.Context, journal: JobStore, jobs: Iterable[Job], home: DataDir, now: float
    ) -> bool:
        """Ask what is due, and show what came; tell whether anything did. ``now`` is a monotonic clock's.

        Raises StorageError.
        """
        service = _service()
        code = _code(context)
        self._note_change(context, _Wanted(code, service), now)
        self._note_drawn()
        asked = self._ask_if_due(journal, jobs, now)
        asked |= self._ask_if_opened(journal, service)
        shown = self.sessions(service)
        current = self.session(code, service)
        pictures = [*(current.sessions if current else ()), *shown]
        is_new = thumbnails.know(home.thumbnails, (session.thumbnail for session in pictures))
        was_waiting, self._was_waiting = self._was_waiting, self.is_waiting()
        return known_sessions.show(shown, code) or is_new or asked or was_waiting != self._was_waiting

    def _take_in(self, lookup: Lookup) -> None:
        self._lookups[lookup.key] = lookup
        self._revision = max(self._revision, lookup.revision)

    def _ask(self, journal: JobStore, question: Lookup) -> None:
        lookup = journal.add_lookup(Lookup(question.kind, question.service, question.text, self._clock()))
        self._lookups[lookup.key] = lookup
        self._mine.add(lookup.key)

    def _go_past_the_first_page(self, journal: JobStore, lookup: Lookup) -> None:
        """Some services count pages from 0, some from 1: where page 1 is the first one again, take the next."""
        if lookup.key not in self._mine or lookup.kind is not LookupKind.LIST or lookup.text != "1":
            return
        first = self._lookups.get(_question(LookupKind.LIST, lookup.service, str(FIRST_PAGE)).key)
        known = {session.code for session in first.sessions} if first else set()
        is_answered = lookup.answered_at >= lookup.asked_at and lookup.error is None and bool(lookup.sessions)
        is_last = self._last_page.get(lookup.service) == 1
        if is_answered and is_last and {session.code for session in lookup.sessions} <= known:
            self.ask_more(journal, lookup.service)

    def _note_change(self, context: bpy.types.Context, wanted: _Wanted, now: float) -> None:
        scene = context.scene.name_full
        before = self._noted.get(scene)
        self._noted[scene] = wanted
        if before is not None and before != wanted:
            self._changed, self._due_at = wanted, now + DEBOUNCE_S
        elif wanted != self._changed:
            self._changed = None

    def _note_drawn(self) -> None:
        if self._list_drawn:
            self._list_opened |= self._list_was_closed
            self._list_was_closed = False
        elif self._panel_drawn:
            self._list_was_closed = True
        self._panel_drawn = self._list_drawn = False

    def _ask_if_due(self, journal: JobStore, jobs: Iterable[Job], now: float) -> bool:
        wanted = self._changed
        if wanted is None or not wanted.code or now < self._due_at:
            return False
        return self._ask_once(
            wanted, _news(jobs, wanted), lambda: self.ask_session(journal, wanted.code, wanted.service)
        )

    def _ask_if_opened(self, journal: JobStore, service: str) -> bool:
        if not self._list_opened:
            return False
        return self._ask_once(_Wanted("", service), 0.0, lambda: self.ask_list(journal, service))

    def _ask_once(self, wanted: _Wanted, news: float, ask: Callable[[], None]) -> bool:
        """Ask where a request could leave now, once for each key, and again when a job brought news."""
        try:
            if not wanted.service or submit.ready_service() != wanted.service:
                return False
            key = None if wanted.service == LOCAL else preferences.api_key() or Secret(preferences.key_command())
        except CsmError:
            return False
        if (wanted, key, news) in self._asked:
            return False
        ask()
        self._asked.add((wanted, key, news))
        return True


def _question(kind: LookupKind, service: str, text: str) -> Lookup:
    return Lookup(kind, service, text, 0.0)


def _service() -> str:
    """Return the address of the service in use; empty where it is none."""
    try:
        return preferences.service_address()
    except CsmError:
        return ""


def _code(context: bpy.types.Context) -> str:
    try:
        return validation.session_code(settings_of(context).session_code)
    except CsmError:
        return ""


def _news(jobs: Iterable[Job], wanted: _Wanted) -> float:
    """Return when a job of ours that is over now last heard of the session; 0 where there is none."""
    about = (job for job in jobs if job.request.session_code == wanted.code and job.service == wanted.service)
    return max((job.answered_at or 0.0 for job in about if job.state in _RESTING), default=0.0)
