"""The proxy: in front of a refine service and of its mesh files, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import h11
import trustme

from . import wire
from .exchange import Answer, Exchange, Stage
from .schedule import Plan, Rule
from .stages import Stages
from .table import Moment

_T = TypeVar("_T")
_LOOPBACK_URL = re.compile(rb"https?://(?:127\.0\.0\.1|localhost|\[::1\]):\d+(?=/)")


class FaultProxy:
    """Passes requests on to ``service`` and to the storage that its mesh URLs name, with the plan's faults.

    ``url`` is the API's new address, ``mesh_url`` the storage's, ``elsewhere`` another host's. Each connection serves
    one request. A request for an absolute URL is passed on, too: named as HTTP_PROXY, this is a proxy.
    """

    def __init__(self, service: str, plan: Plan | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.plan = plan or Plan([])
        self.accepted = 0
        """Refines that arrived at the service, and that it took."""
        self.seen: list[Exchange] = []
        self.hits: Counter[str] = Counter()
        """How often each fault came about."""
        self._service = service
        self._storage = ""
        self._stages = Stages()
        self._host = host
        self._ports = {"api": port, "mesh": port + 1 if port else 0, "elsewhere": 0}
        self._servers: dict[str, asyncio.Server] = {}
        self._certificates = _Certificates(host, self) if self.plan.tls else None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faults", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._open_all())
        except OSError:
            self._stop_thread()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._run(self._close_all())
        self._stop_thread()

    @property
    def url(self) -> str:
        """The address for clients of the API."""
        return self._address("api")

    @property
    def mesh_url(self) -> str:
        """Where the mesh files stand now."""
        return self._address("mesh")

    @property
    def elsewhere(self) -> str:
        """The base URL of another host; never with TLS."""
        return f"http://localhost:{self._ports['elsewhere']}"

    def apply(self, plan: Plan) -> None:
        """Exchange the rules; with none, whatever went wrong is over."""
        self.plan = plan
        self._run(self._arrange())

    def _address(self, name: str) -> str:
        return f"{'https' if self._certificates else 'http'}://{self._host}:{self._ports[name]}"

    def _run(self, task: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(20)

    def _stop_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    # --- listening

    async def _open_all(self) -> None:
        for name in self._ports:
            await self._open(name)
        await self._arrange()

    async def _open(self, name: str) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(name, reader, writer)

        tls = self._certificates.context(name) if self._certificates and name != "elsewhere" else None
        server = await asyncio.start_server(serve, self._host, self._ports[name], ssl=tls, backlog=128)
        self._ports[name] = server.sockets[0].getsockname()[1]
        self._servers[name] = server

    async def _close_all(self) -> None:
        for server in self._servers.values():
            server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _arrange(self) -> None:
        """Listen, or do not listen, for what comes next."""
        for name in ("api", "mesh"):
            refusing = self.waiting("refused", name)
            if refusing and name in self._servers:
                self._servers.pop(name).close()
                self.hits["refused"] += 1
                if refusing.seconds is not None:
                    self._loop.call_later(refusing.seconds, self._end_of, refusing)
            elif not refusing and name not in self._servers:
                await self._open(name)

    def _end_of(self, rule: Rule) -> None:
        rule.nth, rule.times, rule.met = 1, 1, 1
        self._connections.add(self._loop.create_task(self._arrange()))

    def waiting(self, fault: str, name: str) -> Rule | None:
        """Return the rule of this fault that the next connection to this address falls under."""
        expected = {"api": self._stages.expected, "mesh": Stage.DOWNLOAD}.get(name)
        return next((rule for rule in self.plan.rules if rule.fault == fault and rule.awaits(expected)), None)

    # --- one connection, one request

    async def _serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            await self._exchange(name, reader, writer)
        except (OSError, wire.Broken, h11.ProtocolError):
            pass  # the other side went away, or does not speak HTTP
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._connections.discard(task)  # type: ignore[arg-type]

    async def _exchange(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resetting = self.waiting("reset-before", name)
        if resetting and resetting.hits_now():
            self.hits["reset-before"] += 1
            self._stages.note_connection(self._stages.expected if name == "api" else None)
            await self._arrange()
            await reader.read(1)  # a reset any sooner is to some systems a refused connection
            wire.reset(writer)
            return
        request, body = await wire.read_request(reader, writer)
        exchange = self._received(name, request, body)
        await self._answer(name, exchange)
        self._stages.note(exchange)
        await self._arrange()
        await wire.send(exchange, reader, writer)

    def _received(self, name: str, request: h11.Request, body: bytes) -> Exchange:
        method, parts = request.method.decode("ascii"), urlsplit(request.target.decode("latin-1"))
        headers = {key.decode("ascii"): value.decode("latin-1") for key, value in request.headers}
        stage = {"api": self._stages.of(method, parts.path), "mesh": Stage.DOWNLOAD}.get(name)
        exchange = Exchange(method, parts.path, parts.query, headers, body, stage, self.elsewhere)
        self.seen.append(exchange)
        return exchange

    async def _answer(self, name: str, exchange: Exchange) -> None:
        hitting = [rule for rule in self.plan.rules if name != "elsewhere" and rule.hits(exchange)]
        self._act(Moment.ASKED, hitting, exchange)
        if exchange.answer is None:
            exchange.answer = await self._asked(name, exchange)
        self._act(Moment.ANSWERED, hitting, exchange)

    def _act(self, moment: Moment, rules: list[Rule], exchange: Exchange) -> None:
        for rule in rules:
            if rule.entry.moment is moment:
                self.hits[rule.fault] += 1
                rule.entry.act(exchange, rule)

    async def _asked(self, name: str, exchange: Exchange) -> Answer:
        origin = self._service if name == "api" else self._storage
        try:
            answer = await wire.ask(origin, exchange)
        except (OSError, wire.Broken):
            return Answer(502, b"nothing answers behind the proxy of faults", {"content-type": "text/plain"})
        if name == "api":
            answer.body = _LOOPBACK_URL.sub(self._through_here, answer.body)
            exchange.accepted = exchange.stage is Stage.POST and 200 <= answer.status < 300
            self.accepted += exchange.accepted
        return answer

    def _through_here(self, found: re.Match[bytes]) -> bytes:
        """Have a mesh URL lead here: it names the storage, whose address is noted."""
        self._storage = found[0].decode("ascii")
        return self.mesh_url.encode("ascii")


class _Certificates:
    """A certificate that ``authority`` signed, and one that nobody knows: which one is shown, the rules say."""

    def __init__(self, host: str, proxy: FaultProxy) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(proxy.plan.tls)
        self._proxy = proxy
        self._good = authority.issue_cert(host, "localhost")
        self._unknown = _context(trustme.CA().issue_cert(host, "localhost"))

    def context(self, name: str) -> ssl.SSLContext:
        """Return the context for one of the addresses."""
        context = _context(self._good)

        def choose(connection: Any, server_name: str | None, given: ssl.SSLContext) -> None:
            rule = self._proxy.waiting("certificate", name)
            if rule and rule.hits_now():
                self._proxy.hits["certificate"] += 1
                connection.context = self._unknown

        context.sni_callback = choose
        return context


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
