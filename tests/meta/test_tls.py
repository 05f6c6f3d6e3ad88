"""Certificates are always verified: nothing in the project's syntax trees turns it off."""

from __future__ import annotations

import ast

import pytest

from tests.support.repository import ROOT

OFF = {"CERT_NONE", "_create_unverified_context", "disable_warnings", "check_hostname", "verify_mode"}


def switched_off(source: str) -> list[int]:
    """Return the lines that turn the verification of certificates off, or could."""
    return [node.lineno for node in ast.walk(ast.parse(source)) if _turns_off(node)]


def _turns_off(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in ("verify", "cert_reqs", "assert_hostname") or node.arg in OFF
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.Constant) and key.value == "verify" for key in node.keys)
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value in ("verify", "cert_reqs")
    if isinstance(node, ast.Attribute):
        return node.attr in OFF or (node.attr in ("verify", "trust_env") and isinstance(node.ctx, ast.Store))
    return isinstance(node, ast.Name) and node.id in OFF


FILES = sorted([*(ROOT / "csm_refine_addon").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_certificates_are_verified(path):
    """There is no switch for it, and proxies and certificates of the system are not passed over."""
    assert switched_off(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "requests.get(url, verify=False)",
        "requests.get(url, **{'verify': option})",
        "session.verify = ask()",
        "session.trust_env = False",
        "options['verify'] = False",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
        "context = ssl._create_unverified_context()",
        "PoolManager(cert_reqs='CERT_NONE')",
        "urllib3.disable_warnings()",
        "from ssl import CERT_NONE\nf(CERT_NONE)",
    ],
)
def test_a_switch_is_seen(source):
    """Each way to turn it off is found."""
    assert switched_off(source)
