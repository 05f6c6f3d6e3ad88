"""What may be asked of the local refining, and what is refused."""

from __future__ import annotations

import json

import pytest

from csm_refine_addon.core.errors import InputError
from csm_refine_addon.core.mesh_files import MeshKind
from csm_refine_addon.remesh.refine_settings import Level, RefineSettings, Symmetry, Topology
from csm_refine_addon.service.request_schema import parse_order
from csm_refine_addon.service.sessions import Sessions


def settings(**body):
    return parse_order(json.dumps(body).encode()).settings


def test_nothing_asked_keeps_the_topology():
    """An empty body, and null, ask for the cleaning that keeps everything."""
    assert settings() == settings(topology=None, faces=None) == RefineSettings()
    assert settings().topology is Topology.KEEP


def test_everything_that_can_be_asked_arrives():
    """Each key sets what it names."""
    asked = settings(
        topology="quads",
        faces=5000,
        texture_resolution=2048,
        symmetry="auto",
        preserve_aspect_ratio=True,
        keep_parts=0.02,
    )
    assert asked == RefineSettings(Topology.QUADS, 5000, Level.MEDIUM, 2048, Symmetry.AUTO, True, 0.02)
    assert asked.budget == 5000


def test_words_for_the_number_of_faces():
    """low, medium and high are numbers that grow."""
    budgets = [settings(faces=word).budget for word in ("low", "medium", "high")]
    assert budgets == sorted(set(budgets))


def test_parts_are_kept_unless_said_otherwise():
    """true keeps all parts, false drops specks, a number says below which share of the surface."""
    assert settings(keep_parts=True).drop_parts_below == 0
    assert 0 < settings(keep_parts=False).drop_parts_below < 0.01


@pytest.mark.parametrize(
    "body",
    [
        {"topology": "voxels"},
        {"topology": 3},
        {"faces": 3},
        {"faces": 5000.5},
        {"faces": True},
        {"faces": "many"},
        {"faces": 10**9},
        {"texture_resolution": 127},
        {"texture_resolution": 4097},
        {"texture_resolution": "1024"},
        {"symmetry": True},
        {"preserve_aspect_ratio": "no"},
        {"keep_parts": 1},
        {"keep_parts": -0.1},
        {"keep_parts": "all"},
        {"keep_parts": float("nan")},
    ],
)
def test_wrong_values_are_refused_with_a_sentence(body):
    """A value out of its range names its key and what it may be."""
    with pytest.raises(InputError, match=f"^{next(iter(body))}.* must be .*\\.$"):
        settings(**body)


def test_the_settings_outlive_the_service(tmp_path):
    """They stand in the store with the order, so a refine that goes on after a restart is the one that was asked."""
    mesh = tmp_path / "mesh.obj"
    mesh.write_bytes(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    asked = parse_order(b'{"topology": "tris", "faces": "low", "symmetry": "on", "keep_parts": 0.5}')
    store = Sessions(tmp_path / "store")
    code = store.create(mesh, MeshKind.OBJ).code
    store.order_refine(code, asked)
    store.close()
    again = Sessions(tmp_path / "store")
    assert again.find(code).order == asked
    again.close()
