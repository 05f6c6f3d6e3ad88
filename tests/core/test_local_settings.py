"""How the local service is to refine: said on the command line, checked, and never sent to another service."""

from __future__ import annotations

import json

import pytest

from csm_refine_addon.core.errors import InputError
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL, Job, LocalSettings, RefineRequest
from csm_refine_addon.core.processes import local_settings
from csm_refine_addon.core.providers import csm_schema
from csm_refine_addon.remesh import refine_settings, tuning
from csm_refine_addon.service import request_schema as service_orders
from tests.support.api_server import CODE

EVERYTHING = LocalSettings("quads", "5000", 2048, "auto", preserve_aspect_ratio=True, drop_parts_below=0.01)


@pytest.mark.parametrize(
    ("options", "body"),
    [
        (["--topology", "keep"], {"topology": "keep"}),
        (["--keep-aspect"], {"preserve_aspect_ratio": True}),
        (["--topology", "tris", "--faces", "low"], {"topology": "tris", "faces": "low", "keep_parts": 0.001}),
        (
            [
                "--topology",
                "quads",
                "--faces",
                "5000",
                "--texture-size",
                "2048",
                "--symmetry",
                "on",
                "--keep-aspect",
                "--keep-parts",
            ],
            {
                "topology": "quads",
                "faces": 5000,
                "texture_resolution": 2048,
                "symmetry": "on",
                "preserve_aspect_ratio": True,
                "keep_parts": True,
            },
        ),
    ],
)
def test_the_options_are_the_requests_keys(terminal, api, options, body):
    """What is asked for on the command line goes out under the vendor's names; what is not, is left out."""
    assert terminal.run("submit", CODE, *options).code == 0
    assert json.loads(api.refines[0].body) == body
    assert service_orders.parse_order(api.refines[0].body).settings.topology == body.get("topology", "keep")


@pytest.mark.parametrize("service", ["csm", "https://refine.example.com"])
@pytest.mark.parametrize(
    "options", [["--topology", "keep"], ["--topology", "tris", "--faces", "5000"], ["--keep-aspect"], ["--keep-parts"]]
)
def test_another_service_never_gets_them(terminal, api, service, options):
    """A service that is not local refuses them with exit code 2, and no job is written down."""
    done = terminal.run("submit", CODE, "--service", service, "--bbox", "auto", *options)
    assert done.code == 2
    assert "local service" in done.err
    assert not api.seen
    with pytest.raises(InputError, match="local service"):
        new_job(RefineRequest(CODE, local=EVERYTHING), CSM_BASE_URL, now=0.0)


@pytest.mark.parametrize(
    "options",
    [
        ["--topology", "hexagons"],
        ["--topology", "tris", "--faces", "some"],
        ["--topology", "tris", "--faces", "3"],
        ["--topology", "tris", "--faces", "\N{SUPERSCRIPT TWO}0"],
        ["--topology", "tris", "--faces", "-5000"],
        ["--topology", "tris", "--texture-size", "64"],
        ["--topology", "tris", "--texture-size", "large"],
        ["--topology", "tris", "--symmetry", "maybe"],
        ["--faces", "5000"],
        ["--topology", "keep", "--symmetry", "on"],
    ],
)
def test_nonsense_is_refused(terminal, api, options):
    """A value that the service would not take, or not use, ends with exit code 2 and a sentence, before any request."""
    done = terminal.run("submit", CODE, *options)
    assert (done.code, api.seen) == (2, [])
    assert len(done.err.strip()) > 20


def test_client_and_service_agree():
    """What the client lets through, the service takes; both know the same words and limits."""
    assert list(local_settings.TOPOLOGIES) == list(refine_settings.Topology)
    assert list(local_settings.SYMMETRIES) == list(refine_settings.Symmetry)
    assert list(local_settings.LEVELS) == list(refine_settings.Level) == list(tuning.FACES_OF_LEVEL)
    assert (local_settings.LEAST_FACES, local_settings.GREATEST_FACES) == (tuning.MIN_FACES, tuning.MAX_FACES)
    assert (local_settings.LEAST_TEXTURE, local_settings.GREATEST_TEXTURE) == (
        tuning.MIN_TEXTURE,
        tuning.MAX_TEXTURE,
    )
    assert local_settings.SMALL_PART == tuning.SMALL_COMPONENT
    body = json.dumps(csm_schema.refine_body(RefineRequest(CODE, local=EVERYTHING))).encode()
    found = service_orders.parse_order(body).settings
    assert (found.topology, found.faces, found.texture_resolution) == ("quads", 5000, 2048)
    assert (found.symmetry, found.preserve_aspect_ratio, found.drop_parts_below) == ("auto", True, 0.01)


def test_a_job_keeps_them():
    """They survive the journal: a job that is taken up again asks for the same."""
    job = new_job(RefineRequest(CODE, local=EVERYTHING), LOCAL, now=0.0)
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
