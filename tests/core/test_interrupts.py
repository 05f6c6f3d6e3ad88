"""Signals reach a command that waits, even where Python drops the exception that it makes of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from csm_refine_addon.commands import interrupts
from tests.support.repository import ROOT

DROPPED = """
import os, signal, sys
from csm_refine_addon.commands import interrupts

class Tidied:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(1_000_000))  # the handler runs here: what it raises is dropped

with interrupts.handled():
    one = Tidied()
    del one
    print("it was dropped", flush=True)
    try:
        interrupts.pause(600)
    except KeyboardInterrupt:
        print("it was heard")
"""


def test_what_python_drops_is_noticed_in_the_next_pause():
    """Python ignores what is raised in a finalizer: the pause after it ends at once, and nobody reads a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", DROPPED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n")[:2] == ["it was dropped", "it was heard"]
    assert done.stderr == ""


def test_other_dropped_exceptions_are_told():
    """A mistake in a finalizer is printed as ever."""
    script = DROPPED.replace("os.kill(os.getpid(), signal.SIGINT)", "print(1 / 0)").replace("600", "0")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("number", interrupts.SIGNALS, ids=lambda number: number.name)
def test_a_signal_in_a_block_is_forgotten_after_it(number):
    """The handler that was there comes back, and the next command begins anew."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before
    with interrupts.handled():
        assert interrupts.pause(0.0) is False


def test_other_threads_leave_signals_alone():
    """Only the main thread may set handlers."""
    found = []

    def run() -> None:
        before = signal.getsignal(signal.SIGINT)
        with interrupts.handled():
            found.append(signal.getsignal(signal.SIGINT) == before)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize("number", interrupts.SIGNALS, ids=lambda number: number.name)
def test_an_ignored_signal_stays_ignored(number):
    """So nohup has it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interrupts.handled():
            signal.raise_signal(number)
            assert interrupts.pause(0.0) is False
    finally:
        signal.signal(number, before)


def test_a_result_that_is_being_written():
    """Once a command has ended, a second signal does not cut off what it writes."""
    with interrupts.handled():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        interrupts.ignore()
        signal.raise_signal(signal.SIGTERM)
