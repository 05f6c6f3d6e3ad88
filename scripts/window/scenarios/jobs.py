"""Pictures of the jobs in a window: first use, many jobs, a batch, a bad network; in both themes, at both scales.

Leaves /job/*.png and prints how long the panel takes to draw 200 jobs. The many jobs are written into the journal, as
they would stand after a day of work; those of the batch are real.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from window import kit

EXTENSION = "bl_ext.user_default.csm_refine.csm_refine_addon"
LOOK = os.environ.get("LOOK", "dark")
SCALE = float(os.environ.get("SCALE", "1"))
THEMES = {"light": "Blender_Light.xml"}
_context: Any = bpy.context
_operators: Any = bpy.ops
_utils: Any = bpy.utils
NAMES = ("Armchair", "Bookcase", "Candle", "Door", "Easel", "Fountain", "Guitar", "Hat stand with a very long name")


def module(name: str) -> Any:
    return importlib.import_module(f"{EXTENSION}.{name}")


def scenario() -> kit.Steps:
    yield from kit.first_draw()
    dress()
    yield from kit.enlarge_viewport()
    yield from kit.open_sidebar("CSM")
    yield from shot("first_use")
    yield from batch()
    yield from bad_network()
    yield from many(40)
    yield from many(200)


def dress() -> None:
    if LOOK in THEMES:
        folder = Path(_utils.system_resource("SCRIPTS"), "presets", "interface_theme")
        bpy.ops.script.execute_preset(
            filepath=str(folder / THEMES[LOOK]), menu_idname="USERPREF_MT_interface_theme_presets"
        )
    _context.preferences.view.ui_scale = SCALE


def shot(name: str) -> kit.Steps:
    yield from kit.redrawn()
    yield 0.3
    kit.picture(f"/job/{LOOK}_{SCALE:g}_{name}.png")


def batch() -> kit.Steps:
    """Three objects, one of them flat, each refined; the status bar is looked at from another workspace."""
    _context.scene.csm_refine.service = "LOCAL"
    bpy.ops.mesh.primitive_monkey_add(location=(3, 0, 0))
    _context.object.name = "Monkey"
    _context.object.modifiers.new("Smooth", "SUBSURF").levels = 4
    bpy.ops.mesh.primitive_plane_add(location=(0, 3, 0))
    for name in ("Cube", "Monkey", "Plane"):
        bpy.data.objects[name].select_set(True)
    yield 0.5
    yield from shot("several_selected")
    with kit.view().override():
        _operators.csm_refine.refine_each("INVOKE_DEFAULT")
    yield from shot("refine_each")
    escape()
    yield 0.3
    with kit.view().override():
        _operators.csm_refine.refine_each()
    jobs = module("blender.jobs.job_monitor").current
    yield from kit.until(lambda: len(jobs().jobs) == 2, what="two jobs")
    yield from shot("batch_begun")
    bar = module("blender.ui.status_bar")
    kit.say("status bar:", bar.shown())
    seen: list[str] = []

    def done() -> bool:
        if bar.shown() not in seen:
            seen.append(bar.shown())
            kit.say("status bar:", repr(bar.shown()))
            kit.picture(f"/job/{LOOK}_{SCALE:g}_bar_{len(seen)}.png")
        return all(job.state == "PLACED" for job in jobs().jobs.values())

    yield from kit.until(done, 120.0, "both to be placed")
    yield from shot("batch_done")
    yield 1.0
    done()
    yield from shot("idle_again")


def escape() -> None:
    window = kit.view().window
    for value in ("PRESS", "RELEASE"):
        window.event_simulate(type="ESC", value=value, x=window.width // 2, y=window.height // 2)


def written(change: Callable[[int], dict[str, Any]], count: int) -> kit.Steps:
    models, orders = module("core.models"), module("core.jobs.job_factory")
    journal = module("core.jobs.job_store").JobStore(module("blender.data_location").home().journal, busy_timeout_s=5.0)
    for number in range(count):
        code = f"SESSION_16892{number:05d}_{6037000 + number}"
        placement = models.Placement(
            box=models.Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)), object_name=NAMES[number % len(NAMES)]
        )
        request = models.RefineRequest(code, (1.0, 3.0, 2.0), (0.0, -0.5, 0.0))
        now = time.time() - number
        job = orders.new_job(request, models.CSM_BASE_URL, now=now, placement=placement, place_automatically=False)
        journal.add(dataclasses.replace(job, **change(number)))
    journal.close()
    yield 1.0


def forget_all() -> None:
    keeper = module("blender.jobs.job_monitor").current()
    journal = module("core.jobs.job_store").JobStore(module("blender.data_location").home().journal, busy_timeout_s=5.0)
    for job_id in keeper.jobs:
        journal.remove(job_id)
    journal.close()


def running(number: int, **changes: Any) -> dict[str, Any]:
    models = module("core.models")
    remote = models.RemoteStatus("training_refine", models.RemoteKind.RUNNING, 30.0 + number)
    now = time.time()
    state = models.JobState.RUNNING
    return {
        "state": state, "sent_at": now, "accepted_at": now, "answered_at": now, "remote": remote, "due_at": now + 900
    } | changes  # fmt: skip


def bad_network() -> kit.Steps:
    """A service that cannot be reached, one unclear submission, one refusal."""
    models, errors, flow = module("core.models"), module("core.errors"), module("core.jobs.state_machine")
    forget_all()
    _context.preferences.addons["bl_ext.user_default.csm_refine"].preferences.api_key = "0" * 32
    _context.preferences.system.use_online_access = True
    _context.scene.csm_refine.service = "URL"
    _context.scene.csm_refine.service_url = "http://127.0.0.1:9"
    trouble = "The service at api.csm.ai is out of reach."
    ago = time.time() - 190
    unclear = errors.OutcomeUncertain("The refine was sent, but no answer came.", "Look again.")
    failed = errors.ServiceUnreachable("The service is out of reach.", "Check the network, then retry.")
    kinds: tuple[dict[str, Any], ...] = (
        running(0, answered_at=ago, trouble=trouble, failures=6),
        {"state": models.JobState.UNCERTAIN, "sent_at": ago, "error": flow.job_error(unclear), "answered_at": ago},
        {"state": models.JobState.FAILED, "error": flow.job_error(failed), "finished_at": ago},
    )
    yield from written(lambda number: kinds[number], len(kinds))
    kept = _context.window_manager.csm_refine
    for number in range(len(kinds)):
        kept.active = number
        yield from shot(f"bad_network_{number}")
    kit.say("status bar:", module("blender.ui.status_bar").shown())


def many(count: int) -> kit.Steps:
    models, errors, flow = module("core.models"), module("core.errors"), module("core.jobs.state_machine")
    forget_all()
    states = models.JobState
    window = module("blender.jobs.job_monitor").current().window
    failed = flow.job_error(errors.RefineFailed("The service failed the refine.", "Retry sends it again."))

    usual = (states.PLACED, states.RUNNING, states.READY, states.FAILED, states.STOPPED)

    def change(number: int) -> dict[str, Any]:
        of_file = {"window": window if number % 2 else "elsewhere"}
        state = usual[number % len(usual)]
        files = {"mesh_path": "/nowhere/mesh.glb", "blend_path": "/nowhere/result.blend"}
        more: dict[Any, dict[str, Any]] = {
            states.RUNNING: running(number % 60),
            states.READY: files,
            states.PLACED: files | {"placed_object": "Armchair refined", "fit_error": 1e-8},
            states.FAILED: {"error": failed},
        }
        return of_file | {"state": state} | more.get(state, {})

    yield from written(change, count)
    kept = _context.window_manager.csm_refine
    kept.active = 1
    for files, sort in (("ALL", "NEWEST"), ("THIS", "STATE"), ("ALL", "OBJECT")):
        kept.files, kept.sort = files, sort
        yield from shot(f"{count}_{files}_{sort}".lower())
        yield from measured(f"{count} jobs, {files}, {sort}")


def measured(what: str) -> kit.Steps:
    """Draw the panel eight times and print what Python takes of it."""
    kinds = [getattr(bpy.types, name) for name in ("CSM_PT_refine", "CSM_PT_send", "CSM_PT_jobs", "CSM_UL_jobs")]
    took: list[float] = []
    put_back = [
        (kind, name, getattr(kind, name))
        for kind in kinds
        for name in ("draw", "draw_item", "filter_items")
        if name in vars(kind)
    ]
    for kind, name, function in put_back:
        setattr(kind, name, timed(function, took))
    totals = []
    for _ in range(8):
        took.clear()
        yield from kit.redrawn()
        totals.append(sum(took))
    for kind, name, function in put_back:
        setattr(kind, name, function)
    kit.say(f"{what}: panel draw median {statistics.median(totals) * 1e3:.2f} ms, longest {max(totals) * 1e3:.2f} ms")


_depth = [0]


def timed(function: Any, took: list[float]) -> Any:
    """Return a function that notes its time; rows are drawn inside the panel's draw, and counted once.

    Blender counts the arguments of what it calls, so there is one for each number of them.
    """

    def call(*arguments: Any) -> Any:
        _depth[0] += 1
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            _depth[0] -= 1
            if not _depth[0]:
                took.append(time.perf_counter() - began)

    return {
        2: lambda a, b: call(a, b),  # noqa: PLW0108
        4: lambda a, b, c, d: call(a, b, c, d),  # noqa: PLW0108
        9: lambda a, b, c, d, e, f, g, h, i: call(a, b, c, d, e, f, g, h, i),  # noqa: PLW0108
    }[min(function.__code__.co_argcount, 9)]


kit.play(scenario, limit_s=280.0)
