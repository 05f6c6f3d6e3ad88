"""A served API for each test that asks for one."""

from __future__ import annotations

import pytest

from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.providers.client import Client
from tests.core.harness import Harness
from tests.core.terminal import Terminal
from tests.support.api_server import KEY, Api


@pytest.fixture
def api():
    with Api() as served:
        yield served


@pytest.fixture
def house(tmp_path, api):
    with Harness(tmp_path / "home", api) as built:
        yield built


@pytest.fixture
def client(api):
    opened = Client(api.url, Secret(KEY), is_online=lambda: True, timeout_s=20.0)
    yield opened
    opened.close()


@pytest.fixture
def terminal(tmp_path, api):
    opened = Terminal(tmp_path, api)
    yield opened
    opened.close()
