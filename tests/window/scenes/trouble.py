"""The service refuses; the error is copied; the refine is sent again, stopped, followed again, and placed."""

from __future__ import annotations

import os

import bpy

from tests.window import hand
from window import kit

CODE = "SESSION_1689256797_6037625"


def scene() -> hand.Steps:
    hand.preferences().poll_first_s = 2.0
    yield from hand.open_tab()
    yield from hand.use_url(os.environ["SERVICE"])
    yield from hand.type_into("session_code", CODE)
    yield from hand.click("csm_refine.refine(")
    yield from hand.confirm()
    yield from hand.until_job("FAILED")
    yield from hand.look("failed")
    yield from hand.click("csm_refine.copy_error")
    hand.note("copied", bpy.context.window_manager.clipboard)
    yield from hand.click("csm_refine.retry", hand.LEFT, hand.RIGHT)
    yield from hand.look("asks_again")
    yield from hand.cancel()
    hand.check(hand.job().state == "FAILED", "a declined retry was sent")
    yield from hand.click("csm_refine.retry", hand.LEFT, hand.RIGHT)
    yield from hand.confirm()
    yield from hand.until_job("RUNNING")
    yield from kit.until(lambda: hand.job().remote is not None, what="the service's word")
    yield from hand.look("running")
    yield from hand.click("csm_refine.stop(", hand.LEFT, hand.RIGHT)
    yield from hand.until_job("STOPPED")
    yield from hand.look("stopped")
    hand.tell(os.environ["SERVICE"], "finish")
    yield from hand.click("csm_refine.retry", hand.LEFT, hand.RIGHT)
    yield from hand.until_job("PLACED")
    yield from hand.look("placed")
    yield from hand.choose_service("LOCAL")
    yield 1.5
    yield from hand.look("another_service")
