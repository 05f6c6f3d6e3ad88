"""Keys and signed URLs: what shows them, what keeps them, and which key goes where."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from csm_refine_addon.core.errors import KeyMissing
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import Job, RefineRequest, Secret
from csm_refine_addon.core.processes import background
from csm_refine_addon.core.providers import credentials

KEY = "k3yk3yk3yk3yk3yk3yk3yk3yk3yk3y01"


def test_a_secret_does_not_show_itself():
    """Printed, formatted, in a container or in an error: the value is nowhere."""
    secret = Secret(KEY)
    shown = [repr(secret), str(secret), f"{secret}", f"{[secret]}", repr({"key": secret}), "%s" % secret]  # noqa: UP031
    assert not [text for text in shown if KEY in text]
    assert secret.reveal() == KEY


@pytest.mark.parametrize("write", [pickle.dumps, copy.deepcopy, json.dumps])
def test_a_secret_is_written_nowhere(write):
    """It refuses to be turned into bytes or text by accident."""
    with pytest.raises(TypeError):
        write(Secret(KEY))


def test_secrets_compare_by_value():
    """Two of the same are one, as keys of a table too; an empty one is false."""
    assert Secret(KEY) == Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY)}) == 1
    assert not Secret("")


def test_each_service_has_its_key():
    """A service's own key comes before the one for all; a key for one service goes to no other."""
    own, common = Secret("own"), Secret("common")
    assert credentials.key_for("https://a", {"https://a": own, "": common}) == own
    assert credentials.key_for("https://b", {"https://a": own, "": common}) == common
    assert credentials.key_for("https://b", {"https://a": own}) is None


def test_key_of_the_environment(monkeypatch):
    """It is read when it is set, refused when it cannot be one, and passed on to no child."""
    assert credentials.environment_key() is None
    monkeypatch.setenv("CSM_API_KEY", KEY)
    assert credentials.environment_key() == Secret(KEY)
    for environment in (background.clean_environment(), background.module_environment()):
        assert KEY not in environment.values()
    monkeypatch.setenv("CSM_API_KEY", "two\nlines")
    with pytest.raises(KeyMissing):
        credentials.environment_key()


def test_a_job_of_another_version():
    """A job that a newer or older version wrote is read: unknown keys go, missing ones take their default."""
    written = new_job(RefineRequest("SESSION_1_2", (1.0, 2.0, 3.0)), "local", now=1.0).to_json()
    newer = {**written, "mood": "good", "request": {**written["request"], "colour": 3}}
    assert Job.from_json(json.loads(json.dumps(newer))) == Job.from_json(written)
    older = {key: value for key, value in written.items() if key not in ("polls", "trouble", "report", "error")}
    assert Job.from_json(older) == Job.from_json(written)
