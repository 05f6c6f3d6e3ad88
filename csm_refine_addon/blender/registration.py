"""What the extension adds to Blender, and takes back in the reverse order. Cheap: no file, no network, no library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import bpy
from bpy.app.handlers import persistent

from . import i18n, preferences, properties
from .geometry import selection_bounds
from .jobs import job_list, job_monitor, known_sessions
from .scene import object_metadata
from .ui import menus, operators, overlay, panels, sidebar_visibility, status_bar, status_messages, thumbnails

CLASSES: tuple[type, ...] = (
    preferences.CSM_AP_preferences,
    *properties.CLASSES,
    *object_metadata.CLASSES,
    *status_messages.CLASSES,
    *operators.CLASSES,
    *panels.CLASSES,
    *menus.CLASSES,
)
COMMAND = "csm_refine"


def register() -> None:
    """Add everything."""
    for do, _undo in STEPS:
        do()


def unregister() -> None:
    """Take everything back."""
    for _do, undo in reversed(STEPS):
        undo()


def _add_classes() -> None:
    for kind in CLASSES:
        if issubclass(kind, bpy.types.Operator | bpy.types.Panel | bpy.types.Menu):
            kind.bl_translation_context = i18n.CONTEXT
        bpy.utils.register_class(kind)


def _remove_classes() -> None:
    for kind in reversed(CLASSES):
        bpy.utils.unregister_class(kind)


@persistent
def on_load(*_arguments: Any) -> None:
    """Another file is open."""
    job_monitor.current().file_loaded()
    selection_bounds.reset()
    object_metadata.forget()


@persistent
def before_save(*_arguments: Any) -> None:
    """A window manager is saved with the file, and the list of jobs is nobody else's business."""
    job_list.clear()
    known_sessions.clear()


@persistent
def after_save(*_arguments: Any) -> None:
    """The file is written: show the list again."""
    job_list.show(job_monitor.current().jobs)
    known_sessions.bring_back()


@persistent
def on_change(*_arguments: Any) -> None:
    """Something in the scene changed, perhaps the selection."""
    selection_bounds.mark_stale()
    object_metadata.mark_stale()
    job_monitor.glance()


@persistent
def before_undo(*_arguments: Any) -> None:
    """An undo begins, that of *Adjust Last Operation* too."""
    job_monitor.current().lost.before_undo()


@persistent
def after_undo(*_arguments: Any) -> None:
    """An undo is done."""
    job_monitor.undone()


def _handlers() -> tuple[tuple[list[Any], Callable[..., None]], ...]:
    handlers = bpy.app.handlers
    changes = (handlers.depsgraph_update_post, handlers.undo_post, handlers.redo_post)
    saved = (handlers.save_post, handlers.save_post_fail)
    return (
        (handlers.load_post, on_load),
        (handlers.save_pre, before_save),
        *((each, after_save) for each in saved),
        (handlers.undo_pre, before_undo),
        (handlers.undo_post, after_undo),
        *((each, on_change) for each in changes),
    )


def _add_handlers() -> None:
    for where, handler in _handlers():
        where.append(handler)


def _remove_handlers() -> None:
    for where, handler in _handlers():
        where.remove(handler)


def _start_pump() -> None:
    preferences.forget_choices()
    job_list.forget()
    job_monitor.start_anew()
    selection_bounds.reset()
    sidebar_visibility.forget()
    sidebar_visibility.when_drawn(job_monitor.wake)


def _stop_pump() -> None:
    if bpy.app.timers.is_registered(job_monitor.tick):
        bpy.app.timers.unregister(job_monitor.tick)
    job_monitor.current().close()
    sidebar_visibility.forget()
    thumbnails.forget()
    known_sessions.forget()


def _run_command(arguments: Sequence[str]) -> NoReturn:
    """Run ``blender --command csm_refine``; the process ends with it, so that the result is stdout's last line."""
    from ..core import import_paths

    import_paths.leave_current_folder_out()
    from .. import cli

    cli.exit_process(cli.main(arguments))


_command: list[Any] = []
"""The handle of the command, while it is registered."""


def _add_command() -> None:
    _command.append(bpy.utils.register_cli_command(COMMAND, _run_command))


def _remove_command() -> None:
    bpy.utils.unregister_cli_command(_command.pop())


STEPS = (
    (i18n.register, i18n.unregister),
    (_add_classes, _remove_classes),
    (properties.add, properties.take_away),
    (object_metadata.add, object_metadata.take_away),
    (_add_handlers, _remove_handlers),
    (_start_pump, _stop_pump),
    (overlay.add, overlay.take_away),
    (status_bar.add, status_bar.take_away),
    (menus.add, menus.take_away),
    (_add_command, _remove_command),
)
