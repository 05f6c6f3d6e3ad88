"""The table of faults: a name, what it does, and the stages that it can hit.

Those of the network are done by the proxy, at one of three moments; those of the client's own machine are only named
here, and done by the tests.
"""

from __future__ import annotations

import email.utils
import enum
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .exchange import Answer, Exchange, Stage

if TYPE_CHECKING:
    from .schedule import Rule

API = (Stage.BASELINE, Stage.POST, Stage.POLL)
READS = (Stage.BASELINE, Stage.POLL)
MESH = (Stage.DOWNLOAD,)
NETWORK = (*API, *MESH)
EVERY = tuple(Stage)
HUGE_BYTES = 50_000_000


class Moment(enum.Enum):
    """When a fault acts."""

    CONNECTING = "a connection comes in, and nothing was read from it"
    ASKED = "a request was read, and the service was not asked yet"
    ANSWERED = "the service has answered"
    MACHINE = "on the client's own machine"


@dataclass(frozen=True)
class Fault:
    """An entry of the table."""

    name: str
    text: str
    moment: Moment
    stages: tuple[Stage, ...]
    act: Callable[[Exchange, Rule], None]


FAULTS: dict[str, Fault] = {}
_Act = Callable[[Exchange, "Rule"], None]


def fault(name: str, moment: Moment, stages: tuple[Stage, ...]) -> Callable[[_Act], _Act]:
    """Enter a function into the table; its docstring tells what it does."""

    def enter(act: _Act) -> _Act:
        FAULTS[name] = Fault(name, " ".join((act.__doc__ or "").split()), moment, stages, act)
        return act

    return enter


def _answers(exchange: Exchange, status: int, body: bytes | Any = b"", **headers: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    exchange.answer = Answer(status, content, {name.replace("_", "-"): value for name, value in headers.items()})


def _envelope(status: int, message: str) -> dict[str, Any]:
    return {"error": "", "message": message, "statusCode": status, "data": {}}


# --- connections


@fault("refused", Moment.CONNECTING, NETWORK)
def _refused(exchange: Exchange, rule: Rule) -> None:
    """The connection is refused, for `seconds` or until the rule is removed."""


@fault("certificate", Moment.CONNECTING, NETWORK)
def _certificate(exchange: Exchange, rule: Rule) -> None:
    """The certificate is signed by an authority that is not trusted; needs `"tls"`."""


@fault("reset-before", Moment.CONNECTING, NETWORK)
def _reset_before(exchange: Exchange, rule: Rule) -> None:
    """The connection is reset when the request starts to arrive; it does not reach the service."""


@fault("reset-after", Moment.ANSWERED, NETWORK)
def _reset_after(exchange: Exchange, rule: Rule) -> None:
    """The service gets the request, and the connection is reset instead of an answer."""
    exchange.sending.resets = True


@fault("no-answer", Moment.ANSWERED, NETWORK)
def _no_answer(exchange: Exchange, rule: Rule) -> None:
    """The service gets the request, and no answer ever comes."""
    exchange.sending.hangs = True


@fault("answer-cut", Moment.ANSWERED, NETWORK)
def _answer_cut(exchange: Exchange, rule: Rule) -> None:
    """The service gets the request, and the connection ends in the middle of its answer (`at`: 0 to 1)."""
    exchange.sending.cut_at = rule.at


@fault("drip", Moment.ANSWERED, NETWORK)
def _drip(exchange: Exchange, rule: Rule) -> None:
    """The answer comes byte by byte, one each second (`seconds`: another pause)."""
    exchange.sending.byte_pause_s = rule.seconds if rule.seconds is not None else 1.0


# --- what is between


@fault("dns-failure", Moment.ANSWERED, NETWORK)
def _dns_failure(exchange: Exchange, rule: Rule) -> None:
    """The name does not resolve: the session that is read before names a host for its mesh that does not exist. For
    the API give your client an address like `http://no-such-name.invalid`; no proxy can do that.
    """
    if exchange.answer is not None and exchange.answer.document:
        _each_mesh_url(exchange, lambda url: f"http://no-such-name.invalid/{url.split('/', 3)[3]}")


@fault("proxy-refuses", Moment.ASKED, NETWORK)
def _proxy_refuses(exchange: Exchange, rule: Rule) -> None:
    """A company's proxy requires a password: 407 with HTML. (Set as HTTP_PROXY, this is one.)"""
    _answers(exchange, 407, _page(407), proxy_authenticate='Basic realm="company"', content_type="text/html")


@fault("html-200", Moment.ASKED, NETWORK)
def _html_200(exchange: Exchange, rule: Rule) -> None:
    """A web page instead of an answer, with 200, as a captive portal sends it."""
    _answers(exchange, 200, _page(200), content_type="text/html")


def _page(status: int) -> bytes:
    return f"<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>".encode()


# --- status codes; the service is not asked, but where it "did as it was asked"


@fault("400-empty", Moment.ASKED, NETWORK)
def _400_empty(exchange: Exchange, rule: Rule) -> None:
    """400 without a message: how the hosted service limits its rate."""
    _answers(exchange, 400)


@fault("401", Moment.ASKED, NETWORK)
def _401(exchange: Exchange, rule: Rule) -> None:
    """The key is refused."""
    _answers(exchange, 401, _envelope(401, "Unauthorized"))


@fault("402", Moment.ASKED, NETWORK)
def _402(exchange: Exchange, rule: Rule) -> None:
    """There are no credits left."""
    _answers(exchange, 402, _envelope(402, "Payment required"))


@fault("403", Moment.ASKED, NETWORK)
def _403(exchange: Exchange, rule: Rule) -> None:
    """Forbidden: the key, or for a mesh its signature, is refused."""
    _answers(exchange, 403, _envelope(403, "Forbidden"))


@fault("404", Moment.ASKED, NETWORK)
def _404(exchange: Exchange, rule: Rule) -> None:
    """There is no such session, or no such file."""
    _answers(exchange, 404, _envelope(404, "Session not found"))


@fault("409", Moment.ASKED, NETWORK)
def _409(exchange: Exchange, rule: Rule) -> None:
    """The session is in another stage."""
    _answers(exchange, 409, _envelope(409, "Not in this stage"))


@fault("429-seconds", Moment.ASKED, NETWORK)
def _429_seconds(exchange: Exchange, rule: Rule) -> None:
    """Too many requests; `Retry-After` in seconds (`seconds`, else 7)."""
    seconds = 7 if rule.seconds is None else round(rule.seconds)
    _answers(exchange, 429, _envelope(429, "Too many requests"), retry_after=str(seconds))


@fault("429-date", Moment.ASKED, NETWORK)
def _429_date(exchange: Exchange, rule: Rule) -> None:
    """Too many requests; `Retry-After` as a date (`seconds` from now, else 7)."""
    at = time.time() + (7 if rule.seconds is None else rule.seconds)
    _answers(exchange, 429, _envelope(429, "Too many requests"), retry_after=email.utils.formatdate(at, usegmt=True))


@fault("429-bare", Moment.ASKED, NETWORK)
def _429_bare(exchange: Exchange, rule: Rule) -> None:
    """Too many requests, without `Retry-After`."""
    _answers(exchange, 429, _envelope(429, "Too many requests"))


@fault("503-seconds", Moment.ASKED, NETWORK)
def _503_seconds(exchange: Exchange, rule: Rule) -> None:
    """The gateway answers out of service with a page and `Retry-After` (`seconds`, else 7); the request did not
    arrive.
    """
    seconds = 7 if rule.seconds is None else round(rule.seconds)
    _answers(exchange, 503, _page(503), retry_after=str(seconds), content_type="text/html")


@fault("500-html", Moment.ASKED, NETWORK)
def _500_html(exchange: Exchange, rule: Rule) -> None:
    """The service fails with a page that does not state whether it took the request (it did not)."""
    _answers(exchange, 500, _page(500), content_type="text/html")


@fault("502-html", Moment.ASKED, NETWORK)
def _502_html(exchange: Exchange, rule: Rule) -> None:
    """The gateway finds no service behind it, with a page (the request did not arrive)."""
    _answers(exchange, 502, _page(502), content_type="text/html")


@fault("504-html", Moment.ANSWERED, NETWORK)
def _504_html(exchange: Exchange, rule: Rule) -> None:
    """The gateway times out, with a page; the service took the request."""
    _answers(exchange, 504, _page(504), content_type="text/html")


@fault("503-busy", Moment.ASKED, NETWORK)
def _503_busy(exchange: Exchange, rule: Rule) -> None:
    """The service itself answers, in its envelope, that it is out of service; the request was not taken."""
    _answers(exchange, 503, _envelope(503, "Out of service"))


@fault("400-html", Moment.ANSWERED, NETWORK)
def _400_html(exchange: Exchange, rule: Rule) -> None:
    """The gateway answers bad request, with a page; the service took the request."""
    _answers(exchange, 400, _page(400), content_type="text/html")


@fault("429-html", Moment.ANSWERED, NETWORK)
def _429_html(exchange: Exchange, rule: Rule) -> None:
    """The gateway answers too many requests, with a page; the service took the request."""
    _answers(exchange, 429, _page(429), retry_after="7", content_type="text/html")


@fault("503-html", Moment.ANSWERED, NETWORK)
def _503_html(exchange: Exchange, rule: Rule) -> None:
    """The gateway answers out of service, with a page; the service took the request."""
    _answers(exchange, 503, _page(503), retry_after="7", content_type="text/html")


@fault("200-failing", Moment.ASKED, API)
def _200_failing(exchange: Exchange, rule: Rule) -> None:
    """HTTP status 200, and a `statusCode` of 500 in the envelope."""
    _answers(exchange, 200, _envelope(500, "Something went wrong"))


# --- bodies


@fault("empty-body", Moment.ANSWERED, NETWORK)
def _empty_body(exchange: Exchange, rule: Rule) -> None:
    """200 with an empty body; a refine was taken all the same."""
    _answers(exchange, 200)


@fault("null-body", Moment.ANSWERED, API)
def _null_body(exchange: Exchange, rule: Rule) -> None:
    """200 and `null`; a refine was taken all the same."""
    _answers(exchange, 200, b"null")


@fault("wrong-types", Moment.ANSWERED, API)
def _wrong_types(exchange: Exchange, rule: Rule) -> None:
    """Each field is present, with a wrong type."""
    document = exchange.answer.document if exchange.answer else None
    if isinstance(document, dict):
        inner = document.get("data")
        wrong = {name: _other(value) for name, value in document.items()}
        data = {name: _other(value) for name, value in inner.items()} if isinstance(inner, dict) else 7
        _answers(exchange, 200, {**wrong, "data": data})


def _other(value: object) -> object:
    """Return something of another type."""
    return {str: 7, int: "seven", float: [7], bool: "true", list: {"7": 7}, dict: ["7"]}.get(type(value), {})


@fault("huge-json", Moment.ANSWERED, API)
def _huge_json(exchange: Exchange, rule: Rule) -> None:
    """50 MB of JSON."""
    _answers(exchange, 200, b'{"statusCode": 200, "data": {"padding": "' + b"x" * HUGE_BYTES + b'"}}')


# --- what a session says


@fault("unknown-status", Moment.ANSWERED, READS)
def _unknown_status(exchange: Exchange, rule: Rule) -> None:
    """An unknown status word, for a refine that runs."""
    _session_says(exchange, "polishing_normals")


@fault("status-backwards", Moment.ANSWERED, (Stage.POLL,))
def _status_backwards(exchange: Exchange, rule: Rule) -> None:
    """The status returns to the one before the preview."""
    _session_says(exchange, "spin_generate_processing")


@fault("old-end", Moment.ANSWERED, READS)
def _old_end(exchange: Exchange, rule: Rule) -> None:
    """The session shows the end of an earlier refine, `refine_done` with its mesh. Without a stage: before the
    refine and after.
    """
    _session_says(exchange, "refine_done")
    data = _session_of(exchange)
    if data is not None:
        for key in _mesh_keys(data):
            data[key] = f"{exchange.elsewhere}/old/{key}?sig=old"
        _tell(exchange, data)


@fault("end-without-urls", Moment.ANSWERED, (Stage.POLL,))
def _end_without_urls(exchange: Exchange, rule: Rule) -> None:
    """`refine_done`, and all mesh URLs are empty."""
    _session_says(exchange, "refine_done")
    _each_mesh_url(exchange, lambda url: "")


def _session_of(exchange: Exchange) -> dict[str, Any] | None:
    document = exchange.answer.document if exchange.answer else None
    data = document.get("data", document) if isinstance(document, dict) else None
    return data if isinstance(data, dict) else None


def _session_says(exchange: Exchange, word: str) -> None:
    data = _session_of(exchange)
    if data is not None:
        _tell(exchange, {**data, "session_status" if "session_status" in data else "status": word})


def _each_mesh_url(exchange: Exchange, change: Callable[[str], str]) -> None:
    data = _session_of(exchange)
    if data is not None:
        _tell(exchange, {**data, **{key: change(data[key]) for key in _mesh_keys(data) if data[key]}})


def _mesh_keys(data: dict[str, Any]) -> list[str]:
    return [key for key, value in data.items() if key.startswith("mesh_url") and isinstance(value, str)]


def _tell(exchange: Exchange, data: dict[str, Any]) -> None:
    _answers(exchange, 200, {"error": "", "message": "Retrieved", "statusCode": 200, "data": data})


# --- redirects


@fault("redirect", Moment.ASKED, NETWORK)
def _redirect(exchange: Exchange, rule: Rule) -> None:
    """Redirected to another host with 307; the key must not be sent there. The other host has the mesh, too."""
    _answers(exchange, 307, location=exchange.elsewhere + exchange.target)


@fault("redirect-file", Moment.ASKED, NETWORK)
def _redirect_file(exchange: Exchange, rule: Rule) -> None:
    """Redirected to a file of the client's own machine."""
    _answers(exchange, 302, location="file:///etc/hostname")


@fault("redirect-circle", Moment.ASKED, NETWORK)
def _redirect_circle(exchange: Exchange, rule: Rule) -> None:
    """Redirected to the same address again and again, while the rule holds."""
    _answers(exchange, 302, location=exchange.target)


# --- meshes


@fault("expired", Moment.ASKED, MESH)
def _expired(exchange: Exchange, rule: Rule) -> None:
    """The URL's signature has expired: 403 with XML."""
    _answers(exchange, 403, b"<?xml version='1.0'?><Error><Code>AuthenticationFailed</Code></Error>")


@fault("mesh-cut", Moment.ANSWERED, MESH)
def _mesh_cut(exchange: Exchange, rule: Rule) -> None:
    """The connection ends after a part of the file (`at`: 0 to 1); the storage supports Range and If-Range."""
    exchange.sending.cut_at = rule.at


@fault("no-range", Moment.ASKED, MESH)
def _no_range(exchange: Exchange, rule: Rule) -> None:
    """The storage ignores Range and sends the whole file. (With `mesh-cut`.)"""
    exchange.headers.pop("range", None)


@fault("no-if-range", Moment.ASKED, MESH)
def _no_if_range(exchange: Exchange, rule: Rule) -> None:
    """The storage supports Range and not If-Range: it sends the rest of its present file. (With `mesh-cut` and
    `mesh-changed`.)
    """
    exchange.headers.pop("if-range", None)


@fault("mesh-changed", Moment.ANSWERED, MESH)
def _mesh_changed(exchange: Exchange, rule: Rule) -> None:
    """There is another file behind the URL now, by its ETag; a rest that is asked for with If-Range is sent all the
    same. (After a `mesh-cut`, with `"nth": 2`.)"""
    if exchange.answer is not None:
        exchange.answer.headers["etag"] = '"another"'


@fault("range-refused", Moment.ASKED, MESH)
def _range_refused(exchange: Exchange, rule: Rule) -> None:
    """416: the part that is asked for does not exist. (After a `mesh-cut`, with `"nth": 2`.)"""
    _answers(exchange, 416, content_range="bytes */1")


@fault("length-too-long", Moment.ANSWERED, MESH)
def _length_too_long(exchange: Exchange, rule: Rule) -> None:
    """`Content-Length` is a thousand bytes larger than the body."""
    if exchange.answer is not None:
        exchange.answer.headers["content-length"] = str(len(exchange.answer.body) + 1000)


@fault("length-too-short", Moment.ANSWERED, MESH)
def _length_too_short(exchange: Exchange, rule: Rule) -> None:
    """`Content-Length` is half of the file's size, so a client takes half a file for a whole one."""
    if exchange.answer is not None:
        exchange.answer.headers["content-length"] = str(len(exchange.answer.body) // 2)


@fault("endless", Moment.ANSWERED, MESH)
def _endless(exchange: Exchange, rule: Rule) -> None:
    """No `Content-Length`, and the file never ends."""
    exchange.sending.endless = True
    if exchange.answer is not None:
        exchange.answer.says_length = False
        exchange.answer.headers.pop("content-length", None)


# --- the client's own machine


@fault("clock-back", Moment.MACHINE, EVERY)
def _clock_back(exchange: Exchange, rule: Rule) -> None:
    """The clock is set back by a day."""


@fault("clock-forward", Moment.MACHINE, EVERY)
def _clock_forward(exchange: Exchange, rule: Rule) -> None:
    """The clock is set forward by a day."""


@fault("asleep", Moment.MACHINE, EVERY)
def _asleep(exchange: Exchange, rule: Rule) -> None:
    """The laptop sleeps for an hour."""


@fault("disk-full", Moment.MACHINE, EVERY)
def _disk_full(exchange: Exchange, rule: Rule) -> None:
    """No byte more fits on the disk of journal and downloads."""


@fault("read-only", Moment.MACHINE, EVERY)
def _read_only(exchange: Exchange, rule: Rule) -> None:
    """The folder of journal and downloads cannot be written."""
