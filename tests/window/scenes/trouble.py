"""The service refuses; the error is copied; the refine is sent again, stopped, followed again, and placed."""

from __future__ import annotations

import os

import bpy

from tests.window import ui_driver
from window import kit

CODE = "SESSION_1689256797_6037625"


def scene() -> ui_driver.Steps:
    ui_driver.preferences().poll_first_s = 2.0
    yield from ui_driver.open_tab()
    yield from ui_driver.use_url(os.environ["SERVICE"])
    yield from ui_driver.type_into("session_code", CODE)
    yield from ui_driver.click("csm_refine.refine(")
    yield from ui_driver.confirm()
    yield from ui_driver.until_job("FAILED")
    yield from ui_driver.look("failed")
    yield from ui_driver.click("csm_refine.copy_error")
    ui_driver.note("copied", bpy.context.window_manager.clipboard)
    yield from ui_driver.click("csm_refine.retry", ui_driver.LEFT, ui_driver.RIGHT)
    yield from ui_driver.look("asks_again")
    yield from ui_driver.cancel()
    ui_driver.check(ui_driver.job().state == "FAILED", "a declined retry was sent")
    yield from ui_driver.click("csm_refine.retry", ui_driver.LEFT, ui_driver.RIGHT)
    yield from ui_driver.confirm()
    yield from ui_driver.until_job("RUNNING")
    yield from kit.until(lambda: ui_driver.job().remote is not None, what="the service's word")
    yield from ui_driver.look("running")
    yield from ui_driver.click("csm_refine.stop(", ui_driver.LEFT, ui_driver.RIGHT)
    yield from ui_driver.until_job("STOPPED")
    yield from ui_driver.look("stopped")
    ui_driver.tell(os.environ["SERVICE"], "finish")
    yield from ui_driver.click("csm_refine.retry", ui_driver.LEFT, ui_driver.RIGHT)
    yield from ui_driver.until_job("PLACED")
    yield from ui_driver.look("placed")
    yield from ui_driver.choose_service("LOCAL")
    yield 1.5
    yield from ui_driver.look("another_service")
