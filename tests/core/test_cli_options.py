"""The command line's options: what goes with what, whose words are whose, and what they may not silently be."""

from __future__ import annotations

import json

import pytest

from csm_refine_addon.core.jobs import state_machine
from tests.support.api_server import CODE

ORDERS = {
    "a name": (["--bbox", "auto", CODE], {}),
    "two names": (["--bbox", "auto", "--pivot", "bottom", CODE], {"pivot_point": [0, -0.5, 0]}),
    "numbers": (["--bbox", "2", "1", "0.5", CODE], {"scaled_bbox": [2, 1, 0.5]}),
    "numbers below zero": (["--pivot", "0", "-0.5", "-1e-05", CODE], {"pivot_point": [0, -0.5, -1e-05]}),
    "an option between": (["--pivot", "center", "--json", CODE], {"pivot_point": [0, 0, 0]}),
    "one word": (["--bbox=2 1 0.5", CODE], {"scaled_bbox": [2, 1, 0.5]}),
}


@pytest.mark.parametrize(("words", "body"), ORDERS.values(), ids=ORDERS)
def test_the_code_last(terminal, api, words, body):
    """A box or a pivot takes one name or three numbers; the code after it is the code."""
    assert terminal.run("submit", *words).code == 0
    assert json.loads(api.refines[0].body) == body


@pytest.mark.parametrize("words", [["--bbox", "2", "1", CODE], ["--bbox"], ["--pivot", "", CODE]])
def test_words_that_are_missing(terminal, api, words):
    """Too few are said, and nothing is sent."""
    done = terminal.run("submit", *words, "--json")
    assert (done.code, done.document["error"]["code"], api.seen) == (2, "bad_input", [])


CHANGES = {
    "box": ["--bbox", "1", "1", "1"],
    "pivot": ["--pivot", "auto"],
    "object": ["--object", "Cube"],
    "file": ["--blend", "chair.blend"],
    "service": ["--service", "local"],
    "topology": ["--topology", "quads"],
    "faces": ["--faces", "500"],
    "texture size": ["--texture-size", "512"],
    "symmetry": ["--symmetry", "on"],
    "aspect": ["--keep-aspect"],
    "parts": ["--keep-parts"],
}


@pytest.mark.parametrize("options", CHANGES.values(), ids=CHANGES)
def test_again_is_as_it_was(terminal, api, options):
    """What --again cannot honour is refused with exit code 2 before anything is sent: a refine is paid for."""
    job = terminal.add()
    stopped = terminal.change(job, state_machine.stopped)
    done = terminal.run("submit", "--again", job.id, *options, "--json")
    assert (done.code, options[0] in done.document["error"]["message"]) == (2, True)
    assert (api.seen, terminal.job(job.id)) == ([], stopped)


def test_again_for_another_time(terminal, api):
    """--timeout is honoured with --again, and without it the job has the time that it had."""
    job = terminal.add(timeout_s=500.0)
    for options, limit_s in (([], 500.0), (["--timeout", "900"], 900.0)):
        terminal.change(job, state_machine.stopped)
        assert terminal.run("submit", "--again", job.id, *options).code == 0
        sent = terminal.job(job.id)
        assert (sent.timeout_s, round(sent.deadline_at - sent.sent_at, -1)) == (limit_s, limit_s)
        api.taken = 0
    assert terminal.run("submit", "--again", job.id, "--timeout", "0").code == 2
    assert len(api.refines) == 2
