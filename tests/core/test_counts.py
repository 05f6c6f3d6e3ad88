"""What stands in the scene against what was prepared and reported: counts as JSON, and a sentence for what is less."""

from __future__ import annotations

import dataclasses

import pytest

from csm_refine_addon.commands import outcome
from csm_refine_addon.core import mesh_counts, quality
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import Box, Job, JobState, MeshCounts, MeshReport, RefineRequest

QUICK = MeshCounts(2, 5, 1, 9)
WHOLE = MeshCounts(2, 5, 1, 9, open_edges=4, non_manifold_edges=0, pieces=2, uv_islands=3)
SIZE = (1.0, 2.0, 3.0)


def placed(found=QUICK, prepared=WHOLE, reported=None) -> Job:
    made = new_job(RefineRequest("SESSION_1_2"), "local", now=0.0)
    report = MeshReport(14, 9, 1, (), Box((0, 0, 0), SIZE), 1000, counts=prepared)
    ready = dataclasses.replace(made, state=JobState.READY, report=report, reported_counts=reported)
    return state_machine.placed(ready, "Chair refined", 1e-9, 1.0, found, SIZE)


def test_edges_counted_in_the_background_hold_for_the_same_mesh():
    """Faces by sides and vertices are as prepared: so are edges, pieces and islands."""
    job = placed()
    assert (job.placed_counts, job.placed_size) == (WHOLE, SIZE)
    assert mesh_counts.warnings(job) == ()
    assert quality.counts_of(job).is_watertight is False


@pytest.mark.parametrize("name", ["triangles", "quads", "ngons", "vertices"])
def test_another_mesh_has_unknown_edges_and_a_warning(name):
    """A mesh with one face or vertex more is another one: nothing is said of its edges but that."""
    job = placed(dataclasses.replace(QUICK, **{name: getattr(QUICK, name) + 1}))
    assert job.placed_counts.is_watertight is None
    assert mesh_counts.warnings(job) == (mesh_counts.ANOTHER_MESH,)
    assert outcome.document(job)["placed"]["watertight"] is None


def test_what_was_counted_in_the_window_needs_no_report():
    """A mesh that was imported in the window was counted there."""
    assert placed(WHOLE, prepared=None).placed_counts == WHOLE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"quads": 4, "open_edges": 5, "pieces": 3, "vertices": 1, "triangles": 0}, []),
        ({"quads": 6}, ["5 quads; the refining made 6"]),
        ({"open_edges": 0}, ["4 open edges; the refining made 0"]),
        ({"pieces": 1}, ["2 pieces; the refining made 1"]),
        ({"quads": 9, "open_edges": 1, "pieces": 1}, ["quads", "open edges", "pieces"]),
    ],
)
def test_what_is_less_than_reported_is_a_warning(changes, words):
    """Fewer quads, more open edges, more pieces than the refining made: a sentence each, and the job is placed."""
    job = placed(reported=dataclasses.replace(WHOLE, **changes))
    said = mesh_counts.warnings(job)
    assert job.state is JobState.PLACED
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))
    assert [finding.text for finding in quality.findings(job) if finding.is_warning] == list(said)
    document = outcome.of_job(job).document
    assert (document["warnings"], document["state"]) == (said, "PLACED")


def test_only_what_stands_in_the_scene_is_called_placed():
    """A result that was taken back, or made anew, is no longer said to stand there."""
    job = placed(reported=dataclasses.replace(WHOLE, quads=9))
    back = state_machine.move(job, JobState.READY)
    assert outcome.document(back)["placed"] is None
    assert mesh_counts.warnings(back) == ()


def test_fitting_again_keeps_what_was_counted():
    """Where nothing is counted anew, the counts of before stay."""
    job = state_machine.placed(placed(), "Chair refined", 0.0, 2.0, None, (2.0, 2.0, 2.0))
    assert (job.placed_counts, job.placed_size) == (WHOLE, (2.0, 2.0, 2.0))


def test_the_json_of_a_placed_mesh():
    """Faces by their number of sides, vertices, edges, pieces, islands, watertight, dimensions."""
    assert outcome.document(placed())["placed"] == {
        "faces": {"3": 2, "4": 5, "more": 1},
        "vertices": 9,
        "open_edges": 4,
        "non_manifold_edges": 0,
        "pieces": 2,
        "uv_islands": 3,
        "watertight": False,
        "dimensions": SIZE,
    }


def test_counts_come_back_from_json():
    """What the local service writes is what its client reads."""
    for each in (WHOLE, QUICK, dataclasses.replace(WHOLE, uv_islands=None)):
        assert mesh_counts.read(mesh_counts.document(each)) == each


@pytest.mark.parametrize(
    "found",
    [None, "", [], {}, {"faces": 3}, {"faces": {"3": 1}}, {"faces": {"3": "1", "4": 0, "more": 0}, "vertices": 3}],
)
def test_anything_else_is_no_counts(found):
    """Another service may send anything under this name."""
    assert mesh_counts.read(found) is None


def test_jobs_of_older_versions_have_no_counts():
    """A row without the new fields still reads, and comes back as it was written."""
    job = placed(reported=WHOLE)
    document = job.to_json()
    assert Job.from_json(document) == job
    for name in ("placed_counts", "placed_size", "reported_counts"):
        del document[name]
    del document["report"]["counts"]
    found = Job.from_json(document)
    assert (found.placed_counts, found.placed_size, found.reported_counts, found.report.counts) == (None,) * 4
    assert outcome.document(found)["placed"] is None
    assert quality.counts_of(found) is None
