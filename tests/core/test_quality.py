"""What is said of a result: a warning where something is off, a calm note where not, nothing where it is unknown."""

from __future__ import annotations

import dataclasses

import pytest

from csm_refine_addon.core import quality, serialization
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import Box, Job, MeshCounts, MeshReport, RefineRequest, Texture

BOX = Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
COUNTS = MeshCounts(12, 0, 0, 8, open_edges=0, non_manifold_edges=0, pieces=1, uv_islands=1)
GOOD = MeshReport(
    12, 8, 1, ("albedo",), BOX, 1000, images=(Texture("albedo", 2048, 1024),), counts=COUNTS, has_uv=True,
    size=(1.0, 1.0, 1.0), difference=1e-7,
)  # fmt: skip
OLD = MeshReport(12, 8, 1, ("albedo",), BOX, 1000)


def job(report: MeshReport | None, **changes) -> Job:
    made = new_job(RefineRequest("SESSION_1_2"), "local", now=0.0)
    return dataclasses.replace(made, report=report, **changes)


def with_open_edges(count: int) -> MeshReport:
    return dataclasses.replace(GOOD, counts=dataclasses.replace(COUNTS, open_edges=count))


def said(report: MeshReport | None, **changes) -> list[tuple[bool, str]]:
    return [(finding.is_warning, finding.text) for finding in quality.findings(job(report, **changes))]


@pytest.mark.parametrize("report", [None, GOOD, OLD])
def test_nothing_is_said_of_a_good_result_or_an_unknown_one(report):
    """A good mesh needs no words, and what was never measured is not guessed at."""
    assert said(report, placed_object="Chair refined", fit_error=1e-8) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": (Texture("albedo", 0, 0),)}, "“albedo” has no pixels"),
        ({"images": (Texture("albedo", 64, 64, is_plain=True),)}, "“albedo” is one colour"),
        ({"has_uv": False}, "no UV map"),
        ({"difference": 0.3}, "30 % away from its box and was made to fit"),
        ({"problems": ("The mesh has no height (Z), so that side cannot be stretched to the box.",)}, "no height"),
    ],
)
def test_what_is_off_is_a_warning(changes, words):
    """An empty texture, one without a UV map to show it, a big correction and a flat side each have a warning."""
    ((is_warning, text),) = said(dataclasses.replace(GOOD, **changes))
    assert is_warning
    assert words in text


def test_an_open_surface_is_said_calmly():
    """Cloth and leaves are open: that is worth knowing, and nothing is off."""
    assert said(with_open_edges(1)) == [(False, quality.OPEN_ONE)]
    ((is_warning, text),) = said(with_open_edges(42))
    assert (is_warning, "42 edges" in text) == (False, True)


def test_a_plain_mesh_without_uv_is_only_noted():
    """Without a texture no UV map is missing."""
    assert said(dataclasses.replace(GOOD, has_uv=False, images=(), textures=())) == [(False, quality.NO_UV_NOTE)]


def test_joined_triangles_are_only_noted():
    """Where a file had triangles only, the quads that were made of them are counted."""
    assert said(dataclasses.replace(GOOD, joined_quads=6)) == [(False, quality.JOINED.format(count=6))]


def test_the_fit_counts_once_it_is_placed():
    """A placed mesh far from its box is a warning; one that was not fitted on purpose says so in other words."""
    assert said(GOOD, placed_object="Chair refined", fit_error=0.05)[0][0]
    assert said(GOOD, fit_error=0.05) == []
    assert "made to fit" not in said(dataclasses.replace(GOOD, difference=0.3), fit_to_box=False)[0][1]


def test_warnings_come_first():
    """What is off stands above what is only worth knowing."""
    found = said(dataclasses.replace(with_open_edges(3), correction="moved", difference=0.5))
    assert [is_warning for is_warning, _ in found] == [True, False, False]


def test_what_the_service_says_of_it_is_a_note():
    """Which method was taken, and why, stands with the result, and nothing is off because of it."""
    assert said(GOOD, notes=("Made by hand.",)) == [(False, "Made by hand.")]


def test_watertight_is_known_or_not():
    """Three answers: yes, no, nobody looked."""
    found = [quality.counts_of(job(report)) for report in (GOOD, with_open_edges(2), OLD)]
    assert [each and each.is_watertight for each in found] == [True, False, None]


def test_reports_of_older_versions_still_read():
    """A job of an older journal comes back with what it has; a new one comes back whole."""
    document = job(GOOD).to_json()
    assert Job.from_json(document).report == GOOD
    document["report"]["open_edges"] = 0  # counted by places, until counts were
    for name in ("images", "counts", "has_uv", "size", "difference"):
        del document["report"][name]
    del document["fetch_only"]
    found = Job.from_json(document)
    assert (found.report.images, found.report.counts, found.report.size, found.fetch_only) == (
        (),
        None,
        None,
        False,
    )
    assert serialization.decode(MeshReport, dataclasses.asdict(OLD)) == OLD
