"""Whether the window stands still because of us.

Two bounds hold from the click to the placed object. A turn of our timer: 100 ms, or a 33rd of what Blender's own
importer takes for the same file on this machine, whichever is longer; brought in parts, the largest result took a 41st
to a 115th, appended whole a 28th to a 21st. The whole gap between two beats, with what Blender itself does then,
redraws in software included: a tenth of the importer. On top of each comes twice what the window stood still by itself
while nothing of ours happened, as on a busy machine.
"""

from __future__ import annotations

import os
import threading

import pytest

from tests.support import api_server
from tests.support.repository import ROOT

ANSWER_S = 30.0
GOAL_S, TIMES_SHORTER = 0.1, 10
OURS_TIMES_SHORTER = 33

WAITING = ("SUBMITTING", "RUNNING")
"""Nothing of ours happens in the window then: what stands still has other reasons, as other work on the machine."""


def slow(answer):
    """An answer that the service takes its time for."""

    def body(api):
        threading.Event().wait(ANSWER_S)
        return answer.body(api) if callable(answer.body) else answer.body

    return api_server.Answer(answer.status, body)


@pytest.fixture
def mesh():
    """180 MB, 1.3 million triangles; written once."""
    from benchmark import large_mesh

    return large_mesh.cached(ROOT / "bench" / "cache")


@pytest.mark.timeout(600)
def test_standstill(play, api, mesh):
    """With answers of 30 s and 180 MB, the result comes in parts, each within the bounds above, and is sent once."""
    api.storage.put("mesh.glb", mesh.read_bytes())
    done = api_server.session_2024("refine_done", "mesh.glb", keys=("mesh_url_glb",))
    api.before, api.posts, api.after = [slow(api.before[0])], [slow(api.posts[0])], [slow(done)]
    os.link(mesh, play.job / "mesh.glb")
    seen = play("standstill", SERVICE=api.url, size=(1024, 640), limit_s=500.0)
    gap, turn = seen["arrival"]["gap"], seen["arrival"]["turn"]
    importer, planted = seen["importer"]["gap"], seen["planted"]["gap"]
    others = max((length for length, stage in seen["arrival"]["long"] if stage in WAITING), default=0.0)
    bound = max(GOAL_S, importer / OURS_TIMES_SHORTER) + 2 * others
    with play.aloud():
        print(f"\nlongest standstill because of us, from click to placed: {turn * 1000:.0f} ms")
        print(f"(a turn of our timer; bound: {bound * 1000:.0f} ms; {importer / turn:.0f} times shorter than the")
        print(f"{importer * 1000:.0f} ms of Blender's own importer)")
        print(f"with what Blender does then, redraws in software included: {gap * 1000:.0f} ms")
        print(f"a redraw of this window alone: {seen['idle']['gap'] * 1000:.0f} ms")
        print(f"the meter sees a planted block of 2 s as {planted * 1000:.0f} ms")
        print(f"the window by itself, while the service took its time: {others * 1000:.0f} ms")
        print(stalls(play.job / "stalls.txt"))
    assert seen["states"][-1] == "PLACED"
    assert planted > 2.0
    assert seen["came in parts"]
    assert turn < bound
    assert gap < importer / TIMES_SHORTER + 2 * others
    assert len(api.refines) == 1


def stalls(path):
    """The innermost Python line of each standstill of more than the goal while the mesh came, if there was one."""
    text = path.read_text(encoding="utf-8").partition("== arrival")[2].partition("== importer")[0]
    lines = [part.strip().splitlines()[1].strip() for part in text.split("Thread")[1:] if part.strip().count("\n")]
    return (
        "\n".join(["lines that stood still for more than the goal:", *sorted(set(lines))])
        if lines
        else "no line of Python stood still for more than the goal"
    )
