"""The one timer: journal -> panel. Reads what changed, keeps the worker up, places what is ready.

``tick`` is a plain function that returns the seconds until its next turn, so a test calls it by hand; None: there is
no next one until something wakes it (:func:`wake`). It turns while jobs run and for a moment after somebody pressed
something, looked at a panel of ours or worked in the scene; what other processes did meanwhile is seen then. Nothing
here opens a file or starts a process before a panel of ours was on screen or the user pressed something.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import bpy

from ...core.errors import CsmError, InputError, StorageError
from ...core.jobs import state_machine
from ...core.models import Job
from ..geometry import selection_bounds
from ..properties import choices_of, settings_of
from ..scene import auto_place, object_metadata, open_file
from ..scene.append_queue import Deliveries
from ..scene.lost_results import LostResults
from ..ui import overlay, sidebar_visibility, status_bar, status_messages
from . import batch_submit, deferred_imports, job_list, job_text, notifications, worker_config
from .job_cache import MOST_AT_ONCE, PATIENT_S, JobCache, is_locked, unless_gone
from .session_lookup import SessionLookup
from .worker_supervisor import CheckAnswer, ServiceCheck, WorkerProcess

if TYPE_CHECKING:  # sqlite3 and numpy come in when they are needed: enabling the extension stays cheap
    from ..scene.placing import Placed

AT_ONCE_S = 0.01
AWAKE_S = 0.25
LINGER_S = 3.0
"""How long it goes on after it was woken: longer than what is typed, measured and looked up takes to settle."""
GLANCE_EVERY_S = 5.0
"""How often work in the scene wakes it while nobody looks at a panel of ours."""
AFTER_TROUBLE_S = 2.0
REDRAW_EVERY_S = 1.0


class JobMonitor(JobCache):
    """What one Blender knows of the jobs, and what its timer does about them."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble = ""
        self.told = ""
        """What became of the journal, until the user presses something."""
        self.waiting: dict[str, str] = {}
        """Why a result that belongs here is not placed yet, by job."""
        self.worker = WorkerProcess()
        self.check: ServiceCheck | None = None
        self.check_answer: CheckAnswer | None = None
        self.looking = SessionLookup()
        """What is known of sessions."""
        self._pressed = False
        self._presses = 0
        self._wanted_codes: dict[str, str] = {}
        self._unwritten: dict[str, Placed] = {}
        self._deliveries = Deliveries()
        self.lost = LostResults()
        self._locked_since = 0.0
        self._is_bringing = False
        """Whether this turn brought in a part of a large result: the next one follows at once."""
        self._redrawn_at = 0.0
        self._woken_at = self._turned_at = -math.inf

    @property
    def window(self) -> str:
        """What names this process and its open file: results asked for from here are placed here."""
        return open_file.window()

    # --- what operators call --------------------------------------------------------------------------------------

    def press(self) -> None:
        """Note that the user asked for something: from now on files and processes are in order."""
        self._pressed = True
        self._presses += 1
        self.told = ""
        self.worker.try_again()
        wake()

    def add(self, job: Job, *, in_front: bool = True) -> Job:
        """Write a new job down, and select it where it is to stand ``in_front``. Raises StorageError."""
        written = super().add(worker_config.with_account(job), in_front=in_front)
        if job.source_blend and in_front:
            self._wanted_codes[job.id] = bpy.context.scene.name
        return written

    def place(
        self,
        context: bpy.types.Context,
        job: Job,
        bring: Callable[[bpy.types.Context, Job], Placed] = auto_place.place,
    ) -> Job:
        """Bring a result into the scene now and write it down; the caller makes the undo step.

        Raises CsmError, and nothing is placed then: InputError where another Blender is about to place it.
        """
        self.press()
        self._write_placed()
        if not auto_place.claimed(self.journal(), job, self.window):
            raise InputError("Another Blender is placing this job.", "Look there.")
        try:
            placed = bring(context, job)
        except BaseException:
            with suppress(StorageError):  # it lapses
                self.journal().release(job.id, self.window)
            raise
        self.note_placed(job, placed)
        return self.jobs[job.id]

    def note_placed(self, job: Job, placed: Placed) -> None:
        """Write down how a result stands now. It does stand: a journal that is locked gets to know in a later turn."""
        self._unwritten[job.id] = placed
        self._take_in(auto_place.as_placed(job, placed))
        self._try_to_write_placed()

    def ask_service(self, service: str) -> None:
        """Ask whether a service's address and key are good; the answer comes with a later turn."""
        self.press()
        if self.check is not None:
            self.check.give_up()
        self.check_answer = None
        self.check = ServiceCheck(self.home, service, self._control_line())

    def close(self) -> None:
        """Let go of journal, worker and check."""
        self.worker.let_go()
        if self.check is not None:
            self.check.give_up()
            self.check = None
        self._try_to_write_placed()
        super().close()

    def file_loaded(self) -> None:
        """Another file is open: what was asked for from the last one does not place itself here."""
        self._try_to_write_placed()  # else a later turn does: the last file may have been saved with it
        open_file.forget()
        self.waiting.clear()
        self.looking.file_loaded()
        self._deliveries.file_loaded()
        self.lost = LostResults()
        self._wanted_codes.clear()
        wake()

    def woken(self) -> bool:
        """Go on for a while, where anybody has asked for us in this Blender; tell whether that is so."""
        self._woken_at = time.monotonic()
        return self._is_wanted()

    def glances(self) -> bool:
        """Tell whether work in the scene is a reason for a turn: for the panel on screen, else now and then."""
        now = time.monotonic()
        return self._is_wanted() and (sidebar_visibility.is_seen(now) or now - self._turned_at > GLANCE_EVERY_S)

    def _is_wanted(self) -> bool:
        return self._pressed or sidebar_visibility.was_seen()

    # --- the timer's turn -------------------------------------------------------------------------------------------

    def tick(self) -> float | None:
        """Take one turn and return the seconds until the next one. Raises what is a mistake in the program."""
        if not self._is_wanted():
            return None
        self._turned_at = now = time.monotonic()
        if deferred_imports.next_one():
            return AT_ONCE_S
        with sidebar_visibility.window_context() as context:
            changed = self._measure(context, now)
            try:
                changed |= self._read_journal()
                self._write_placed()
                changed |= self._place_next(context)
                changed |= self._look_up(context, now)
                changed |= self._hear_check()
                changed |= self._keep_worker()
                changed |= self.has_read and not self._is_behind and job_list.show(self.jobs)
                status_bar.follow(self.active.values(), len(self.waiting))
                changed |= sidebar_visibility.is_seen(now) and object_metadata.update(self.jobs.values(), now)
                overlay.follow(context, self.jobs)
            except StorageError as error:
                self._redraw(changed, now)
                return self._storage_trouble(error)
            try:
                changed |= self._make_next()  # last: nothing else waits for it, and what was read stays known
            except StorageError as error:
                self._redraw(changed, now)
                return self._storage_trouble(error, closes=False)
        self._redraw(changed or bool(self.trouble), now)
        self.trouble, self._locked_since = "", 0.0
        if batch_submit.is_waiting() or self._is_bringing or self._is_behind:
            return AT_ONCE_S
        return AWAKE_S if self._is_busy(now) else None

    def _measure(self, context: bpy.types.Context, now: float) -> bool:
        if not sidebar_visibility.is_seen(now):
            return False
        settings = settings_of(context)
        try:
            choices = choices_of(settings)
        except CsmError:
            choices = selection_bounds.AT_ONCE
        return selection_bounds.update(context, choices, settings.thickness, now)

    def _look_up(self, context: bpy.types.Context, now: float) -> bool:
        if not sidebar_visibility.is_seen(now):
            return False
        return self.looking.turn(context, self.journal(), self.jobs.values(), self.home, now)

    def _read_journal(self) -> bool:
        journal = self.journal()
        version = journal.data_version()
        if version == self._version and not self._is_behind:
            return False
        is_first = not self.has_read
        self.refresh(MOST_AT_ONCE)
        for sentence in journal.take_notices():
            self.told = sentence
            status_messages.say("WARNING", f"CSM Refine: {sentence}")
        self._version = version
        steps, self._steps = self._steps, []
        self._follow_marks()  # before: what is placed by itself is not said to wait
        notifications.say(steps, self.jobs)
        self._fill_codes()
        return self.looking.read(journal) or is_first or bool(steps)

    def _fill_codes(self) -> None:
        """Put the code of a session made here into the field that the user would type it in."""
        for job_id, scene_name in list(self._wanted_codes.items()):
            job, scene = self.jobs.get(job_id), bpy.data.scenes.get(scene_name)
            if job is None or scene is None:
                del self._wanted_codes[job_id]
            elif job.request.session_code:
                scene.csm_refine.session_code = job.request.session_code
                del self._wanted_codes[job_id]
                if not auto_place.hindrance(bpy.context):  # else the next undo step has it, and its undo takes it, too
                    bpy.ops.ed.undo_push(message="New Session")

    def _follow_marks(self) -> None:
        """While results wait, know the objects that they belong to, also where nobody looks."""
        if self.ready:
            object_metadata.update(self.jobs.values(), self._turned_at)

    def _place_next(self, context: bpy.types.Context) -> bool:
        """Place at most one result in a turn, or bring in a part of a large one."""
        self._follow_marks()
        ready = [job for job in self.ready.values() if object_metadata.knows(job) and auto_place.belongs_here(job)]
        waiting = auto_place.hindrances(context, ready)
        placed = self._is_bringing = False
        self._deliveries.keep_only([job.id for job in ready])
        for job in ready:
            if job.id not in waiting and not (placed or self._is_bringing):
                self._is_bringing = self._deliveries.append_next(job)
                placed = not self._is_bringing and self._place(context, job)
        lost = None if placed or self._is_bringing else self.lost.next_job(context, self.jobs, self._turned_at)
        placed |= lost is not None and self._place(context, lost)
        changed = placed or waiting != self.waiting
        self.waiting = waiting
        return changed

    def _place(self, context: bpy.types.Context, job: Job) -> bool:
        if not auto_place.claimed(self.journal(), job, self.window):
            return False
        try:
            placed = auto_place.place(context, job, self._deliveries.take(job))
        except CsmError as error:
            self.fail(job, error)
            status_messages.say("WARNING", f"CSM Refine: {error.message}")
            return True
        self.note_placed(job, placed)
        bpy.ops.ed.undo_push(message="Place Refined Mesh")
        status_messages.say("INFO", f"CSM Refine: {job_text.title(job)} is placed as “{placed.object_name}”.")
        if placed.remark:
            status_messages.say("INFO", f"CSM Refine: {placed.remark}")
        return True

    def _make_next(self) -> bool:
        """Make at most one job of a batch in a turn, once all is read. Raises StorageError."""
        if not batch_submit.is_waiting() or self._is_behind:
            return False
        try:
            batch_submit.make_next(self)
        except StorageError:
            raise
        except CsmError as error:
            status_messages.say("WARNING", f"CSM Refine: {error.message}")
        return True

    def fail(self, job: Job, error: CsmError) -> None:
        """Write down that a job failed here."""
        with unless_gone():
            self._take_in(self.journal().change(job.id, lambda job: state_machine.failed(job, error, time.time())))
        self.journal().release(job.id, self.window)

    def _write_placed(self) -> None:
        """Write down what was placed and is not written down yet. Raises StorageError."""
        for job_id, placed in list(self._unwritten.items()):
            with unless_gone():
                self._learn(auto_place.written_down(self.journal(), job_id, placed))
            del self._unwritten[job_id]
            self.journal().release(job_id, self.window)

    def _try_to_write_placed(self) -> None:
        with suppress(StorageError):
            self._write_placed()

    def _keep_worker(self) -> bool:
        if not (self.active or self.looking.is_waiting() or self._needs_worker):
            return False
        self._needs_worker = False
        before = self.worker.trouble
        self.worker.keep_up(self.home, self._control_line())
        return self.worker.trouble != before

    def _control_line(self) -> bytes:
        return worker_config.line(self.active.values(), self.looking.services(), self._presses)

    def _hear_check(self) -> bool:
        if self.check is None:
            return False
        self.check_answer = self.check.answer()
        if self.check_answer is None:
            return False
        self.check = None
        status_messages.say(
            "INFO" if self.check_answer.is_good else "WARNING", f"CSM Refine: {self.check_answer.message}"
        )
        return True

    def _storage_trouble(self, error: StorageError, *, closes: bool = True) -> float:
        if is_locked(error) and not self._is_locked_for_long():
            return AWAKE_S
        if self.trouble != str(error):
            self.trouble = str(error)
            sidebar_visibility.redraw()
        if closes:
            super().close()
        return AFTER_TROUBLE_S

    def _is_locked_for_long(self) -> bool:
        self._locked_since = self._locked_since or time.monotonic()
        return time.monotonic() - self._locked_since > PATIENT_S

    def _redraw(self, changed: bool, now: float) -> None:
        is_counting = bool(self.active) and sidebar_visibility.is_seen(now)
        if changed or (is_counting and now - self._redrawn_at >= REDRAW_EVERY_S):
            self._redrawn_at = now
            sidebar_visibility.redraw()

    def _is_busy(self, now: float) -> bool:
        if self.active or self.looking.is_waiting() or self.check is not None:
            return True
        is_settling = sidebar_visibility.is_seen(now) and selection_bounds.is_stale()
        is_settling |= (sidebar_visibility.is_seen(now) or bool(self.ready)) and object_metadata.is_stale()
        is_settling |= self.lost.is_waiting()
        return is_settling or bool(self._unwritten or self.waiting) or now - self._woken_at < LINGER_S


_pump = JobMonitor()


def current() -> JobMonitor:
    """Return the pump of this Blender."""
    return _pump


def start_anew() -> JobMonitor:
    """Let go of everything and begin again, for register and for tests."""
    global _pump  # noqa: PLW0603  # one Blender, one pump
    _pump.close()
    open_file.forget()
    _pump = JobMonitor()
    return _pump


def wake() -> None:
    """See that the timer turns; not without a window, where a pending timer keeps some Blenders from ending."""
    if _pump.woken() and not bpy.app.background and not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=AT_ONCE_S, persistent=True)


def glance() -> None:
    """Something in the scene has changed: see whether that concerns us."""
    if _pump.glances():
        wake()


def undone() -> None:
    """Look for results that went with an undo, before the user does anything else."""
    if _pump.lost.undone(time.monotonic()):
        if not bpy.app.background and bpy.app.timers.is_registered(tick):
            bpy.app.timers.unregister(tick)
        wake()


def tick() -> float | None:
    """Take the timer's turn; the only place that catches everything, because a timer that raises is removed."""
    try:
        return _pump.tick()
    except Exception as error:  # noqa: BLE001  # the top of the timer
        import traceback

        traceback.print_exc()
        _pump.trouble = f"CSM Refine made a mistake: {error!r}. The system console has more."
        return AFTER_TROUBLE_S
