"""Sessions before they are paid for: read once the code is typed, shown with stage and age, listed to pick from."""

from __future__ import annotations

import dataclasses
import struct
import time
import zlib
from types import SimpleNamespace

import bpy
import pytest

from csm_refine_addon.blender import data_location
from csm_refine_addon.blender.jobs import job_monitor, known_sessions, session_lookup, session_text
from csm_refine_addon.blender.ui import sidebar_visibility, thumbnails
from csm_refine_addon.blender.ui.panels import lookup_panel as panel_lookup
from csm_refine_addon.core.jobs.lookups import Lookup, LookupKind, SeenSession
from csm_refine_addon.core.models import LOCAL, JobError, JobState, RemoteKind, RemoteStatus
from tests.support import panel
from tests.support.api_server import SESSIONS, Answer, envelope, session_2024, wait_until
from tests.support.panel import CODE, KEY
from tests.support.strict_layout import StrictLayout, draw, operators, texts

NOBODY = "http://127.0.0.1:1"
NOW = time.time()
OTHERS = [f"SESSION_{1_700_000_000 + number}_1234567" for number in range(30)]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


_HEAD = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
_PIXEL = zlib.compress(bytes((0, 200, 80, 40)))
PNG = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", _HEAD) + _chunk(b"IDAT", _PIXEL) + _chunk(b"IEND", b"")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        panel.preferences().api_key = KEY
        panel.settings().service_url = NOBODY
        sidebar_visibility.note_draw(bpy.context)
        yield tmp_path / "home"
        job_monitor.current().close()


@pytest.fixture
def keeper(home):
    """The pump's snapshot after its first look at the scene, as when the tab has been open for a moment."""
    turn()
    return job_monitor.current()


def turn(now: float = 0.0) -> None:
    """Take a turn at a time of a monotonic clock, without the worker."""
    keeper = job_monitor.current()
    keeper.looking.read(keeper.journal())
    keeper.looking.turn(bpy.context, keeper.journal(), keeper.jobs.values(), data_location.home(), now)


def questions(home) -> list[str]:
    with panel.journal(home) as journal:
        return [each.text for each in journal.open_lookups(time.time())]


def answered(home, *sessions, kind=LookupKind.SESSION, service=NOBODY, text=CODE, **changes) -> None:
    """What the worker writes down."""
    with panel.journal(home) as journal:
        asked = journal.add_lookup(Lookup(kind, service, text, time.time()))
        given = {"answered_at": asked.asked_at, "sessions": sessions, **changes}
        journal.update_lookup(asked.key, lambda found: dataclasses.replace(found, **given))
    turn()


def seen(code=CODE, word="preview_done", kind=RemoteKind.REFINABLE, **changes) -> SeenSession:
    at = {"made_at": NOW - 3 * 24 * 3600 - 5, "seen_at": time.time(), **changes}
    return SeenSession(code, RemoteStatus(word, kind), **at)


def shown() -> str:
    return " ".join(texts(draw(bpy.types.CSM_PT_refine)))


def listed() -> list[str]:
    return [row.name for row in bpy.context.window_manager.csm_refine.sessions]


def open_list() -> None:
    """The panel is drawn, then its sub-panel is opened."""
    draw(bpy.types.CSM_PT_refine)
    turn()
    draw(bpy.types.CSM_PT_refine)
    draw(bpy.types.CSM_PT_sessions)
    turn()


# --- what is asked, and when


def test_a_code_is_read_once_and_not_at_each_letter(keeper, home):
    """Nothing is asked while the code changes; then once, however often the timer turns."""
    for number, text in enumerate(("SESSION_1", "SESSION_16892567", CODE)):
        panel.settings().session_code = text
        turn(number * 0.3)
        assert questions(home) == []
    turn(0.6 + session_lookup.DEBOUNCE_S - 0.01)
    assert questions(home) == []
    turn(0.6 + session_lookup.DEBOUNCE_S)
    assert questions(home) == [CODE]
    with panel.journal(home) as journal:
        revision = journal.lookups_since(0)[0].revision
        for number in range(3):
            turn(10.0 + number)
        assert journal.lookups_since(revision) == []


def test_a_loaded_file_asks_nothing(home):
    """A code that came with a file was not typed here: nothing is sent because a file was opened."""
    panel.settings().session_code = CODE
    for number in range(5):
        turn(float(number))
    assert questions(home) == []
    job_monitor.current().file_loaded()
    panel.settings().session_code = OTHERS[0]
    for number in range(5):
        turn(10.0 + number)
    assert questions(home) == []
    assert "Not looked up" in shown()


def test_a_code_typed_before_the_timers_first_turn_is_read(home):
    """What was not there when the panel was drawn first has been typed, however busy Blender was meanwhile."""
    draw(bpy.types.CSM_PT_refine)
    panel.settings().session_code = CODE
    turn(0.0)
    turn(1.0)
    assert questions(home) == [CODE]


@pytest.mark.parametrize("what", ["offline", "no key", "no address"])
def test_nothing_is_asked_where_nothing_may_be_sent(keeper, home, what):
    """Without online access, key or address no question is written; it is as soon as they are there."""
    panel.settings().service_url = "" if what == "no address" else "https://service.example"
    panel.allow_online(allowed=what != "offline")
    panel.preferences().api_key = "" if what == "no key" else KEY
    panel.settings().session_code = CODE
    turn(0.0)
    turn(1.0)
    assert questions(home) == []
    panel.allow_online(allowed=True)
    panel.preferences().api_key = KEY
    panel.settings().service_url = "https://service.example"
    turn(2.0)
    turn(3.0)
    assert questions(home) == [CODE]


def test_another_key_and_another_service_are_asked_anew(keeper, home):
    """Another account may see another session."""
    panel.settings().session_code = CODE
    turn(0.0)
    turn(1.0)
    answered(home, error=JobError("key_refused", "The service refuses the API key.", "Check the key."))
    assert questions(home) == []
    panel.preferences().api_key = KEY[::-1]
    turn(2.0)
    assert questions(home) == [CODE]
    answered(home, seen())
    panel.settings().service = "LOCAL"
    turn(3.0)
    turn(4.0)
    assert questions(home) == [CODE]


def test_a_job_that_has_ended_makes_the_session_read_again(keeper, home):
    """After a refine the session is no longer what it was."""
    panel.settings().session_code = CODE
    turn(0.0)
    turn(1.0)
    answered(home, seen())
    with panel.journal(home) as journal:
        journal.add(panel.job(JobState.PLACED, service=NOBODY, answered_at=time.time()))
    job_monitor.current().refresh()
    turn(2.0)
    assert questions(home) == [CODE]


def test_a_closed_sidebar_asks_nothing(keeper, home):
    """Nobody looks at the panel: nothing is read."""
    sidebar_visibility.forget()
    sidebar_visibility.redraw()
    job_monitor.current().press()
    panel.settings().session_code = CODE
    for _ in range(20):
        job_monitor.current()._look_up(bpy.context, time.monotonic())
    assert questions(home) == []


def test_the_list_is_read_when_it_is_opened(home):
    """A sub-panel that was open when Blender started asks nothing; one that the user opens is read once."""
    for _ in range(3):
        draw(bpy.types.CSM_PT_refine)
        draw(bpy.types.CSM_PT_sessions)
        turn()
    assert questions(home) == []
    open_list()
    open_list()
    assert questions(home) == ["0"]


# --- what is shown


@pytest.mark.parametrize(
    ("word", "kind", "stage", "verdict", "icon"),
    [
        ("preview_done", RemoteKind.REFINABLE, "Preview is ready", "It can be refined", "CHECKMARK"),
        ("training_preview", RemoteKind.BEFORE, "Making the preview", "No preview to refine yet", "INFO"),
        ("preview_failed", RemoteKind.BROKEN, "Preview has failed", "It cannot be refined", "INFO"),
        ("training_refine", RemoteKind.RUNNING, "Being refined", "refining already", "INFO"),
        ("refine_done", RemoteKind.DONE, "Refined", "refined again", "CHECKMARK"),
        ("warming_the_oven", RemoteKind.RUNNING, "Being refined", "refining already", "INFO"),
        ("", RemoteKind.RUNNING, "Unknown stage", "does not say", "INFO"),
    ],
)
def test_stage_word_age_and_verdict_are_shown(keeper, home, word, kind, stage, verdict, icon):
    """Before anything is paid the panel says how the session stands, in plain words; an unknown word as it is."""
    panel.settings().session_code = CODE
    answered(home, seen(word=word, kind=kind))
    drawn = draw(bpy.types.CSM_PT_refine)
    said = " ".join(texts(drawn))
    assert all(text in said for text in (stage, "Made 3 days ago", verdict, "Read just now"))
    assert (word in said) == (word in ("", "warming_the_oven"))
    assert icon in [entry.arguments.get("icon") for entry in drawn if entry.what == "label"]
    assert not any(entry.what == "set" and entry.arguments.get("alert") for entry in drawn)


def test_what_a_refine_will_take_is_said_with_it(keeper, home):
    """What the service warns of stands in the box before anything is sent."""
    panel.settings().session_code = CODE
    answered(home, seen(warnings=("The result will have no armature.",)))
    assert "The result will have no armature." in " ".join(texts(draw(bpy.types.CSM_PT_refine)))


def test_every_kind_of_stage_has_its_words():
    """No status of any service leaves the panel without a sentence."""
    for kind in RemoteKind:
        assert session_text.stage(RemoteStatus("word", kind))
        assert session_text.verdict(RemoteStatus("word", kind))


def test_what_the_service_refuses_is_a_calm_line(keeper, home):
    """An unknown session is no alarm: a line with the cure, and a button to read again."""
    panel.settings().session_code = CODE
    answered(home, error=JobError("session_unknown", "The service knows no such session (404).", "Check the code."))
    assert "The service knows no such session (404). Check the code." in shown()
    drawn = draw(bpy.types.CSM_PT_refine)
    assert not any(entry.what == "set" and entry.arguments.get("alert") for entry in drawn)
    assert "csm_refine.look_up" in operators(drawn)


def test_an_old_answer_is_shown_with_its_age_while_it_is_read_again(keeper, home):
    """What is known stays on screen; the button reads again; the box stays as high as it was."""
    panel.settings().session_code = CODE
    answered(home, seen(seen_at=time.time() - 7000))
    assert "Read 1 h ago" in shown()
    before = len(draw(bpy.types.CSM_PT_refine))
    assert bpy.ops.csm_refine.look_up() == {"FINISHED"}
    assert questions(home) == [CODE]
    assert "Reading…" in shown()
    assert "Made 3 days ago" in shown()
    assert len(draw(bpy.types.CSM_PT_refine)) == before


def test_a_question_that_nobody_answers_ends(keeper, home, monkeypatch):
    """After a minute the panel says so, and the worker is no longer kept for it."""
    panel.settings().session_code = CODE
    keeper.looking.ask_session(keeper.journal(), CODE, NOBODY)
    assert keeper.looking.is_waiting()
    keeper.looking._clock = lambda: time.time() + 61
    assert not keeper.looking.is_waiting()
    assert "No answer came" in shown()


def test_a_picture_becomes_an_icon_and_is_given_back(keeper, home):
    """The picture of the session is loaded; disabling the extension gives it back. (No icons without a window.)"""
    (home / "thumbnails").mkdir(parents=True)
    (home / "thumbnails" / "picture.png").write_bytes(PNG)
    panel.settings().session_code = CODE
    answered(home, seen(thumbnail="picture.png"))
    assert tuple(thumbnails._previews["picture.png"].image_size) == (1, 1)
    assert [entry.what for entry in draw(bpy.types.CSM_PT_refine)].count("template_icon") == 1
    bpy.ops.preferences.addon_disable(module=panel.ADDON)
    assert thumbnails._previews is None
    bpy.ops.preferences.addon_enable(module=panel.ADDON)


# --- my sessions


def page(home, number, codes, **changes):
    made = (seen(code, made_at=float(code.split("_")[1])) for code in codes)
    answered(home, *made, kind=LookupKind.LIST, text=str(number), **changes)


def draw_rows() -> list[str]:
    recorded: list = []
    for row in bpy.context.window_manager.csm_refine.sessions:
        panel_lookup.CSM_UL_sessions.draw_item(None, bpy.context, StrictLayout(recorded), None, row, 0, None, "active")
    return texts(recorded)


def test_sessions_stand_newest_first_page_by_page(keeper, home):
    """More pages are put together by age, each session once; the button ends with the last page."""
    open_list()
    page(home, 0, OTHERS[20:30], is_full=True)
    assert listed() == OTHERS[20:30][::-1]
    assert "Show More" in texts(draw(bpy.types.CSM_PT_sessions))
    bpy.ops.csm_refine.more_sessions()
    page(home, 1, OTHERS[15:25])
    assert listed() == OTHERS[15:30][::-1]
    assert "No More Sessions" in texts(draw(bpy.types.CSM_PT_sessions))
    assert len(draw_rows()) == 30


def test_a_service_that_counts_from_one_shows_its_second_page(keeper, home):
    """Where page 1 is the first page again, the next one is asked for without another click."""
    open_list()
    page(home, 0, OTHERS[20:30], is_full=True)
    bpy.ops.csm_refine.more_sessions()
    page(home, 1, OTHERS[20:30], is_full=True)
    assert questions(home) == ["2"]
    page(home, 2, OTHERS[10:20])
    assert listed() == OTHERS[10:30][::-1]


@pytest.mark.parametrize("way", ["row", "text", "search"])
def test_a_click_fills_the_field(keeper, home, way):
    """A row, the text in it, and Enter in the search take the session."""
    open_list()
    page(home, 0, OTHERS[:3])
    if way == "row":
        bpy.context.window_manager.csm_refine.active_session = 1
    elif way == "text":
        bpy.ops.csm_refine.take_session(session=OTHERS[1])
    else:
        bpy.ops.csm_refine.choose_session("EXEC_DEFAULT", session=OTHERS[1])
    assert panel.settings().session_code == OTHERS[1]
    turn()
    assert bpy.context.window_manager.csm_refine.active_session == 1


def test_a_search_without_a_list_reads_it_first(keeper, home):
    """The button next to the field works before the list was ever opened: it is read, and nothing is chosen."""
    assert bpy.ops.csm_refine.choose_session() == {"FINISHED"}
    assert questions(home) == ["0"]
    assert panel.settings().session_code == ""


def test_the_search_stands_in_the_lists_header():
    """Sessions can be searched without opening the list, and the code's field keeps its width."""
    recorded: list = []
    bpy.types.CSM_PT_sessions.draw_header_preset(SimpleNamespace(layout=StrictLayout(recorded)), bpy.context)
    assert operators(recorded) == ["csm_refine.choose_session"]


def test_a_new_list_does_not_change_the_field(keeper, home):
    """Rows that come or go select nothing by themselves."""
    panel.settings().session_code = CODE
    open_list()
    page(home, 0, OTHERS[:3])
    page(home, 0, OTHERS[1:5])
    assert panel.settings().session_code == CODE
    assert bpy.context.window_manager.csm_refine.active_session == -1


@pytest.mark.parametrize(("text", "count"), [("", 2), ("1700000001", 1), ("READY", 1), ("refine_done 17", 1), ("x", 0)])
def test_a_search_finds_code_stage_and_word(keeper, home, text, count):
    """All words of the search are to be found, in any case."""
    open_list()
    rows = (seen(OTHERS[0], "refine_done", RemoteKind.DONE), seen(OTHERS[1]))
    answered(home, *rows, kind=LookupKind.LIST, text="0")
    found = panel_lookup.filtered(1, bpy.context.window_manager.csm_refine.sessions, text)
    assert sum(found) == count


def test_the_list_says_what_is_wrong_or_that_it_is_empty(keeper, home):
    """An error stands there as a line; an account without sessions is no error."""
    open_list()
    page(home, 0, [], error=JobError("key_refused", "The service refuses the API key (401).", "Check the key."))
    assert "refuses the API key (401)" in " ".join(texts(draw(bpy.types.CSM_PT_sessions)))
    page(home, 0, [], error=None)
    assert "No sessions in this account" in texts(draw(bpy.types.CSM_PT_sessions))


def test_the_rows_are_not_saved_with_the_file(keeper, home, tmp_path):
    """Whose sessions these are is nobody else's business; after saving they are back."""
    open_list()
    page(home, 0, OTHERS[:3])
    while_saving = []
    note = lambda *_: while_saving.extend(listed())  # noqa: E731
    bpy.app.handlers.save_pre.append(note)
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"), copy=True)
    finally:
        bpy.app.handlers.save_pre.remove(note)
    assert while_saving == []
    assert listed() == OTHERS[:3][::-1]


def test_ages_are_said_in_one_unit():
    """12 s, 3 min, 5 h, 3 days."""
    ages = (12, 200, 5 * 3600 + 100, 3 * 86400 + 5000)
    assert [session_text.age(each) for each in ages] == ["12 s", "3 min", "5 h", "3 days"]


# --- all together


def test_a_typed_code_comes_back_with_its_stage(home):
    """The timer asks, a real worker reads the real service, and the panel shows it; the list is read by its button."""
    from tests.support.api_server import Api

    with Api() as api:
        api.storage.put("image.png", PNG)
        body = session_2024("preview_done").body(api)
        body["data"]["image_url"] = api.storage.signed("image.png")
        api.before = [Answer(body=body)]
        api.others[SESSIONS] = [Answer(body=envelope({"results": [body["data"]]}))]
        panel.settings().service_url = api.url
        job_monitor.tick()
        wait_until(lambda: job_monitor.tick() != job_monitor.AT_ONCE_S)
        panel.settings().session_code = CODE
        wait_until(lambda: job_monitor.tick() and "Preview is ready" in shown())
        bpy.ops.csm_refine.list_sessions()
        wait_until(lambda: job_monitor.tick() and listed() == [CODE])
        wait_until(
            lambda: job_monitor.tick() and job_monitor.current().looking.session(CODE, api.url).sessions[0].thumbnail
        )
        assert len(api.looks) == 1
        assert all(seen.headers["x-api-key"] == KEY for seen in api.seen)
        assert KEY.encode() not in (home / "journal.sqlite").read_bytes()


def test_a_local_service_without_sessions_says_so(keeper, home):
    """The local service's list is empty until a session is made."""
    panel.settings().service = "LOCAL"
    open_list()
    assert questions(home) == ["0"]
    answered(home, kind=LookupKind.LIST, service=LOCAL, text="0")
    assert "No sessions here yet" in texts(draw(bpy.types.CSM_PT_sessions))
    assert known_sessions.picked(0) == ""
