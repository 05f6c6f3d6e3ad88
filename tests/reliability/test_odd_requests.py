"""Thousands of requests made of docs/openapi.yaml, good, bad and odd ones, to a running service."""

from __future__ import annotations

import collections
import time

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.reliability.abusive_clients import DEADLINE_S, running
from tests.support import sample_meshes
from tests.support.repository import ROOT

MESHES = [sample_meshes.glb(), sample_meshes.multi_part_glb(), sample_meshes.obj_zip(), sample_meshes.obj_text()]
WITHOUT_INPUT = {"GET /user/userdata", "GET /local/info"}
WITHOUT_KEY = {"GET /local/proof"}
TAKES_NOT_ALL = {"POST /image-to-3d-sessions", "POST /local/sessions"}
"""No image at all; of bytes, only meshes."""
DELETES = "DELETE /local/sessions/{code}"


@strategies.composite
def odd_meshes(draw) -> bytes:
    """A mesh file; mostly, with some bytes changed, added or cut."""
    mesh = draw(strategies.sampled_from(MESHES))
    start = draw(strategies.integers(0, len(mesh)))
    end = draw(strategies.integers(start, min(len(mesh), start + 16)))
    return mesh[:start] + draw(strategies.binary(max_size=16)) + mesh[end:]


schemathesis.openapi.media_type(
    "application/octet-stream", strategies.one_of(odd_meshes(), strategies.sampled_from(MESHES), strategies.binary())
)
schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
schema.config.generation.update(with_security_parameters=False, allow_extra_parameters=False)
OPERATIONS = {result.ok().label: result.ok() for result in schema.get_all_operations()}
WITH_BAD_INPUT = OPERATIONS.keys() - WITHOUT_INPUT - {"POST /local/sessions"}


class ThrottledClient:
    """Sends cases to a service, and counts its answers by kind."""

    def __init__(self, service) -> None:
        self.service = service
        self.session = requests.Session()
        self.session.trust_env = False
        self.codes = [self.made(mesh) for mesh in MESHES]
        self.rows: dict[str, collections.Counter] = {}

    def made(self, mesh: bytes) -> str:
        address, headers = f"{self.service.url}/local/sessions", {"x-api-key": self.service.key}
        answer = self.session.post(address, data=mesh, headers=headers, timeout=DEADLINE_S)
        return answer.json()["data"]["session_code"]

    def ask(self, kind: str, case, key: str):
        """The answer to a case, which fits the description."""
        headers, started = {"x-api-key": key} if key else {}, time.monotonic()
        answer = case.call(base_url=self.service.url, session=self.session, headers=headers, timeout=DEADLINE_S)
        excluded = [positive_data_acceptance] if case.operation.label in TAKES_NOT_ALL or not key else []
        self.count(kind, answer.status_code, time.monotonic() - started)
        case.validate_response(answer, headers=headers, excluded_checks=excluded)
        return answer

    def count(self, kind: str, status: int, seconds: float) -> None:
        row = self.rows.setdefault(kind, collections.Counter())
        row.update({"requests": 1, f"{status // 100}xx": 1, "5xx": status >= 500, "seconds": seconds})


@pytest.fixture(scope="module")
def asking(tmp_path_factory, note):
    with running(tmp_path_factory.mktemp("odd")) as service:
        asking = ThrottledClient(service)
        yield asking
    columns = ("requests", "2xx", "4xx", "5xx", "seconds")
    note("service", [{"kind": kind, **{name: row[name] for name in columns}} for kind, row in asking.rows.items()])


@pytest.fixture
def each(length):
    """Calls a function with so many cases of an operation as this length has for it, and whether to name a session."""
    shares = length.choose(short=36, long=440)

    def call(operation, mode, ask, share: float = 1.0) -> None:
        settings = hypothesis.settings(
            max_examples=max(5, int(shares * share)),
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
            print_blob=False,
        )
        cases = operation.as_strategy(generation_mode=mode)
        settings(hypothesis.given(case=cases, number=strategies.integers(-4, 3))(ask))()

    return call


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_fits_the_description_is_taken(asking, each, label):
    """A request that fits is answered as described, with a session's code or one that there is not, and never 5xx."""

    def ask(case, number):
        if "code" in case.path_parameters and number >= 0:
            case.path_parameters["code"] = asking.made(MESHES[number]) if label == DELETES else asking.codes[number]
        asking.ask("fitting", case, asking.service.key)

    each(OPERATIONS[label], GenerationMode.POSITIVE, ask)


@pytest.mark.parametrize("label", sorted(WITH_BAD_INPUT))
def test_what_does_not_fit_is_refused(asking, each, label):
    """A request that breaks the description is answered with 4xx, in the form described."""

    def ask(case, number):
        asking.ask("not fitting", case, asking.service.key)

    each(OPERATIONS[label], GenerationMode.NEGATIVE, ask)


@pytest.mark.parametrize("label", OPERATIONS.keys() - WITHOUT_KEY)
def test_without_the_key_each_request_gets_401(asking, each, label):
    """Whatever it asks for, a request without the key, or with a wrong one, is answered with 401."""

    def ask(case, number):
        key = "" if number >= 0 else "0" * 32
        assert asking.ask("without the key", case, key).status_code == 401

    each(OPERATIONS[label], GenerationMode.POSITIVE, ask, share=0.25)
