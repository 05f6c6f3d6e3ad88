"""The panel in each language: two pictures of it side by side, every short text measured, Blender's own terms compared.

What stands in one line (names of facts, words, buttons) has to fit its column; sentences are wrapped.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import bpy

from tests.window import ui_driver
from window import kit

_context: Any = bpy.context
LANGUAGES = os.environ.get("LANGUAGES", "en_US de_DE fr_FR es ja_JP zh_HANS").split()
CODES = ("SESSION_1689256797_6037625", "SESSION_1689256801_2210034", "SESSION_1689256812_7744120")
BUTTON, ARROW = 30.0, 28.0
"""What icon and padding take of a button, and of a drop-down list: points."""


def scene() -> ui_driver.Steps:
    furnish()
    yield from written()
    yield from ui_driver.open_tab()
    space = kit.view().space
    space.shading.type, space.overlay.show_overlays = "WIREFRAME", False  # software draws it
    yield 1.0
    yield from ui_driver.toggle_bounds()
    too_wide, others = {}, {}
    for language in LANGUAGES:
        speak(language)
        yield from pictured(language)
        too_wide[language] = sorted(too_wide_texts())
        others[language] = dict(otherwise()) if language != "en_US" else {}
    yield from taken_back()
    ui_driver.note("too_wide", too_wide)
    ui_driver.note("otherwise", others)


def part(name: str) -> Any:
    """Return a module of the installed extension, also one that nobody has needed yet."""
    return importlib.import_module(f"{ui_driver.EXTENSION}.csm_refine_addon.{name}")


def speak(language: str) -> None:
    view = _context.preferences.view
    view.language = language
    view.use_translate_interface = view.use_translate_tooltips = view.use_translate_reports = True


def taken_back() -> ui_driver.Steps:
    """Blender knows the table of its language only, and none once the extension is disabled."""
    text = "Paste Session Code"

    def known() -> str:
        return bpy.app.translations.pgettext(text, part("blender.i18n").CONTEXT)

    speak("de_DE")
    yield 0.2
    ui_driver.check(known() == "Sitzungscode einfügen", known())
    speak("en_US")
    yield 0.2
    ui_driver.check(known() == text, known())
    speak("fr_FR")
    yield 0.2
    ui_driver.check(known() == "Coller le code de session", known())
    bpy.ops.preferences.addon_disable(module=ui_driver.EXTENSION)
    ui_driver.check(known() == text, known())


def pictured(language: str) -> ui_driver.Steps:
    """Two looks at the panel: what is asked for with a failed job, and a placed job on the local service."""
    settings, kept = ui_driver.settings(), _context.window_manager.csm_refine
    settings.service, settings.session_code = "CSM", CODES[0]
    settings.bounds_mode, settings.pivot_mode, kept.active = "TYPED", "TYPED", 0
    yield from drawn(f"{language}_asked")
    settings.service, settings.session_code = "LOCAL", ""
    settings.bounds_mode, settings.pivot_mode, kept.active = "OBJECT", "OBJECT", 1
    yield from drawn(f"{language}_placed")
    parts = [str(ui_driver.JOB / f"{language}_{name}.png") for name in ("asked", "placed")]
    whole = str(ui_driver.PICTURES / f"panel_{language}.png")
    subprocess.run(["/usr/bin/convert", *parts, "+append", "+dither", "-colors", "128", whole], check=True)


def drawn(name: str) -> ui_driver.Steps:
    part("blender.geometry.selection_bounds").mark_stale()
    yield from kit.redrawn()
    yield 0.6
    yield from kit.redrawn()
    kit.picture(str(ui_driver.JOB / f"{name}.png"), ui_driver.sidebar().region)


def furnish() -> None:
    """A mirrored cube with its origin far outside: two warnings."""
    cube = _context.object
    cube.name = "Cube"
    cube.data.transform(((1, 0, 0, 4), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
    cube.scale = (-1, 1, 1)


def written() -> ui_driver.Steps:
    """Write jobs as they stand after some work: failed, placed, running, unclear."""
    models, errors, flow = (part(f"core.{name}") for name in ("models", "errors", "jobs.state_machine"))
    home = part("blender.data_location").home()
    journal = part("core.jobs.job_store").JobStore(home.journal, busy_timeout_s=5.0)
    now, states = time.time(), models.JobState
    box = models.Box((0.0, 0.0, 0.0), (2.0, 2.0, 2.0))
    report = models.MeshReport(1234567, 650000, 1, ("albedo",), box, 1000, (), "size 1 x 2 x 3 changed to 2 x 2 x 2")
    remote = models.RemoteStatus("training_refine", models.RemoteKind.RUNNING, 42.0)
    files = {"mesh_path": "/nowhere/mesh.glb", "blend_path": "/nowhere/result.blend", "report": report}
    failure = errors.SessionUnknown(
        "The service knows no such session (404). It says: This service has no session of this code.",
        "Check the code and the service.",
    )
    unclear = errors.OutcomeUncertain("The refine was sent, but no answer came: it may or may not have arrived.", "")
    kinds: tuple[dict[str, Any], ...] = (
        {"state": states.FAILED, "error": flow.job_error(failure), "remote": remote, "finished_at": now},
        {"state": states.PLACED, "placed_object": "Cube refined", "fit_error": 2e-3, "finished_at": now, **files},
        {"state": states.RUNNING, "remote": remote, "accepted_at": now, "answered_at": now, "due_at": now + 900},
        {"state": states.UNCERTAIN, "error": flow.job_error(unclear), "answered_at": now, "look_until": now},
    )
    for number, changes in enumerate(kinds):
        request = models.RefineRequest(CODES[number % len(CODES)], (2.0, 2.0, 2.0), (0.0, -0.5, 0.0))
        placement = models.Placement(box=box, object_name="Cube")
        service = models.LOCAL if changes["state"] is states.PLACED else models.CSM_BASE_URL
        job = part("core.jobs.job_factory").new_job(
            request, service, now=now - number, placement=placement, place_automatically=False
        )
        journal.add(dataclasses.replace(job, sent_at=now, **changes))
    journal.close()
    yield 0.1


# --- measuring ------------------------------------------------------------------------------------------------------


def too_wide_texts() -> Iterator[str]:
    """Yield each text that is wider than its place, with both widths in pixels."""
    import blf

    translations = part("blender.i18n")
    blf.size(0, _context.preferences.ui_styles[0].widget.points * ui_driver.scale())
    for text, room in in_one_line():
        said = translations.shown(text)
        width = blf.dimensions(0, said)[0]
        if width > room:
            yield f"{text}: {said}: {width:.0f} > {room:.0f}"


def in_one_line() -> Iterator[tuple[str, float]]:
    """Yield the texts that stand in one line, with the room for each: as the panel lays them out."""
    layouts, words = part("blender.ui.panels.layouts"), part("blender.jobs.job_text")
    details = part("blender.ui.panels.job_details")
    width = (ui_driver.sidebar().region.width / ui_driver.scale() - layouts.FRAME + 20.0) * ui_driver.scale()
    names = (
        "Object",
        "Service",
        "State",
        "Service says",
        "Pivot",
        "Last answer",
        "Triangles",
        "Watertight",
        "Textures",
    )
    names += ("Materials", "Came back", "Placed as", "Fit error", "Bounds", "Width (X)", "Height (Z)", "Depth (Y)")
    names += ("W × H × D", "Right (X)", "Top (Z)", "Front (-Y)", "Thickness", "Key")
    yield from ((name, 0.4 * width) for name in names)
    yield from ((word, 0.6 * width) for word in words.STATE_WORDS.values())
    yield from ((word, 0.5 * width - 10.0) for word in words.SHORT_WORDS.values())
    yield from ((word, 0.6 * width) for word in ("Left to the service", "No box to measure", "below 0.001 %"))
    yield from ((text, width / 2 - BUTTON * ui_driver.scale()) for text in button_texts(details))
    yield from ((kind.bl_label, width - BUTTON * ui_driver.scale()) for kind in labelled())
    for name in ("bounds_mode", "pivot_mode"):
        items = ui_driver.settings().bl_rna.properties[name].enum_items
        yield from ((item.name, 0.6 * width - ARROW * ui_driver.scale()) for item in items)
    local = ui_driver.settings().local.bl_rna.properties
    for name in ("topology", "detail", "faces", "texture_size", "symmetry"):
        yield local[name].name, 0.4 * width
        items = getattr(local[name], "enum_items", ())
        yield from ((item.name, 0.6 * width - ARROW * ui_driver.scale()) for item in items)
    yield local["keep_aspect"].name, width - BUTTON * ui_driver.scale()
    yield local["drop_parts"].name, width - 2 * BUTTON * ui_driver.scale()  # and the number
    for name in ("files", "sort"):
        items = _context.window_manager.csm_refine.bl_rna.properties[name].enum_items
        yield from ((item.name, (width - 20.0) / 2 - ARROW * ui_driver.scale()) for item in items)
    yield from (
        (name, 0.2 * width - 8.0 * ui_driver.scale()) for _key, name, _about in part("blender.preferences").SERVICES
    )
    seen = part("blender.jobs.session_text")
    yield from (
        (word, width - 70.0 * ui_driver.scale()) for word in (*seen.STAGES.values(), *seen.STAGES_BY_KIND.values())
    )
    yield from ((text, width) for text in ("Session code, or a URL with one", "Search by code or stage"))


def button_texts(details: Any) -> Iterator[str]:
    """Yield what can stand on a job's buttons: each deed, in each state."""
    job = next(iter(part("blender.jobs.job_monitor").current().jobs.values()))
    states = part("core.models").JobState
    for state in states:
        for deed, _operator, _icon in details.BUTTONS:
            yield details.button_text(dataclasses.replace(job, state=state), deed)


def labelled() -> Iterator[Any]:
    wanted = ("CSM_PT_bounds", "CSM_PT_jobs", "CSM_PT_sessions", "CSM_OT_refine", "CSM_OT_create_session")
    wanted += ("CSM_OT_place_all", "CSM_OT_use_local", "CSM_OT_refine_each", "CSM_OT_fetch_again", "CSM_OT_copy_error")
    yield from (kind for kind in part("blender.registration").CLASSES if kind.__name__ in wanted)


def otherwise() -> Iterator[tuple[str, str]]:
    """Yield our texts that Blender itself has in its catalogue and translates in another way."""
    ours = part("blender.i18n.tables").load(_context.preferences.view.language).texts
    for text, said in ours.items():
        for where in ("*", "Operator"):
            found = bpy.app.translations.pgettext(text, where)
            if found not in (said, text):
                yield f"{where}: {text}", f"{found} (ours: {said})"
