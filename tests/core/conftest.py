"""A served API for each test that asks for one."""

from __future__ import annotations

import pytest

from tests.core.house import House
from tests.support.api_server import Api


@pytest.fixture
def api():
    with Api() as served:
        yield served


@pytest.fixture
def house(tmp_path, api):
    with House(tmp_path / "home", api) as built:
        yield built
