"""docs/openapi.yaml says what the service speaks; what it says of answers is held by tests/reliability."""

from __future__ import annotations

import re

from csm_refine_addon.core.models import Secret
from csm_refine_addon.service.app import Api
from csm_refine_addon.service.auth import HostCheck
from csm_refine_addon.service.responses import session_data
from csm_refine_addon.service.sessions import Session
from tests.support.repository import ROOT

PATH = re.compile(r"  (/\S*):")
METHOD = re.compile(r"    (get|put|post|delete|options|head|patch|trace):")


def described() -> list[tuple[str, str]]:
    """Method and path of each operation; read by line, as not every environment has a reader of YAML."""
    paths = (
        (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8").split("\npaths:\n")[1].split("\ncomponents:\n")[0]
    )
    found, path = [], ""
    for line in paths.splitlines():
        if match := PATH.fullmatch(line):
            path = match[1]
        elif match := METHOD.fullmatch(line):
            found.append((match[1].upper(), path))
    return found


def test_the_description_has_each_route_and_no_other():
    """Each route of the application stands in docs/openapi.yaml, and each operation there is a route."""
    nothing = dict.fromkeys(("sessions", "refining", "links", "users", "uploads"))
    application = Api(key=Secret("k"), hosts=HostCheck("127.0.0.1", 1), **nothing).application()
    routes = [(route.method, route.rule.replace("<", "{").replace(">", "}")) for route in application.routes]
    assert sorted(described()) == sorted(routes)
    assert len(routes) > 10


def test_the_description_names_each_field_of_a_session_as_always_there():
    """What every session has stands in Session.required and MeshUrls.required, and nothing else does."""
    text = (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8").split("\n  schemas:\n")[1]
    required = [
        name
        for schema in ("MeshUrls", "Session")
        for name in re.split(
            r",\s*", re.search(rf"^    {schema}:.*?required:\s*\[(.*?)\]", text, re.DOTALL | re.MULTILINE)[1]
        )
    ]
    session = Session("SESSION_1700000000_0000001", 0.0, 0.0, original="mesh.glb")
    assert sorted(required) == sorted(session_data(session, 0, {}, {}))
