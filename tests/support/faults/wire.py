"""HTTP/1.1 over asyncio streams: requests and answers in one piece, read by h11; connections that end badly."""

from __future__ import annotations

import asyncio
import socket
import struct
from urllib.parse import urlsplit

import h11

from .exchange import Answer, Exchange

_PIECE = 64 * 1024
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "proxy-connection"}


class Broken(Exception):
    """What came is no request or answer, or it ended before its end."""


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[h11.Request, bytes]:
    """Return a request with its body. Raises Broken."""
    connection = h11.Connection(h11.SERVER)
    found: h11.Request | None = None
    body = []
    while not isinstance(event := await _event(connection, reader, writer), h11.EndOfMessage):
        if isinstance(event, h11.Request):
            found = event
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
    if found is None:
        raise Broken
    return found, b"".join(body)


async def _event(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> h11.Event | type[h11.PAUSED]:
    """Return the next event of the other side; the end of the connection before that of the message is Broken."""
    try:
        while (event := connection.next_event()) is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            connection.receive_data(await reader.read(_PIECE))
    except h11.RemoteProtocolError:
        raise Broken from None
    if isinstance(event, h11.ConnectionClosed):
        raise Broken
    return event


async def ask(origin: str, exchange: Exchange) -> Answer:
    """Ask the service behind, over a connection of its own, under its own name. Raises OSError, Broken."""
    parts = urlsplit(origin)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        kept = [(name, value) for name, value in exchange.headers.items() if name not in {*_HOP_BY_HOP, "host"}]
        length = [("content-length", str(len(exchange.body)))] if exchange.body or exchange.method != "GET" else []
        headers = [("host", parts.netloc), *kept, *length, ("connection", "close")]
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(method=exchange.method, target=exchange.target, headers=headers)
        for event in (request, h11.Data(data=exchange.body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return await _read_answer(connection, reader, writer)
    finally:
        writer.close()


async def _read_answer(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Answer:
    answer = Answer()
    body = []
    while not isinstance(event := await _event(connection, reader, writer), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = {
                name.decode("ascii"): value.decode("latin-1")
                for name, value in event.headers
                if name.decode("ascii") not in _HOP_BY_HOP
            }
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
    answer.body = b"".join(body)
    return answer


async def send(exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the answer as the faults have it; the caller ends the connection."""
    sending, answer = exchange.sending, exchange.answer or Answer(502)
    if sending.hangs:
        await reader.read()  # until the other side has had enough
    if sending.hangs or sending.resets:
        reset(writer)
        return
    body = b"" if exchange.method == "HEAD" else answer.body
    if sending.cut_at is not None:
        body = body[: int(len(body) * sending.cut_at)]
    content = answer.head() + body
    if sending.byte_pause_s:
        await _drip(content, writer, sending.byte_pause_s)
    for start in range(0, 0 if sending.byte_pause_s else len(content), _PIECE):
        writer.write(content[start : start + _PIECE])
        await writer.drain()
    while sending.endless:
        writer.write(bytes(_PIECE))
        await writer.drain()


async def _drip(content: bytes, writer: asyncio.StreamWriter, pause_s: float) -> None:
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(pause_s)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset instead of a polite end."""
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
