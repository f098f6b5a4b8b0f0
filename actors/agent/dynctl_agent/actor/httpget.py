"""The least of a client on asyncio streams: one GET and its answer, or a greeting."""

from __future__ import annotations

import asyncio
import ssl

from ..common.deadline import in_time

MAX_BODY = 8 << 20


async def get(host: str, port: int, path: str, timeout: float = 2.0, tls: bool = False) -> tuple[int, bytes]:
    """Status and body of GET http://host:port/path, all within timeout seconds. With tls it
    is https, by whatever certificate: it is a process of one's own that is asked.

    Raises OSError, EOFError or ValueError (no HTTP), asyncio.TimeoutError.
    """
    return await in_time(_get(host, port, path, _unchecked() if tls else None), timeout)


async def greeting(host: str, port: int, timeout: float = 2.0) -> bytes:
    """The first line that a port sends to whoever connects. Raises OSError,
    asyncio.TimeoutError."""
    return await in_time(_greeting(host, port), timeout)


async def _greeting(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return await reader.readline()
    finally:
        writer.close()


def _unchecked() -> ssl.SSLContext:
    # Not a constant of the module: the actor's class travels by value, with what its modules
    # hold, and this cannot.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _get(host: str, port: int, path: str, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        status_line = await reader.readline()
        parts = status_line.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
            raise ValueError(f"port {port} does not speak HTTP: {status_line[:80]!r}")
        headers = {}
        while True:
            line = await reader.readline()
            if line in (b"\r\n", b"\n", b""):
                break
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        return int(parts[1]), await _body(reader, headers)
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[bytes, bytes]) -> bytes:
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = b""
        while len(body) < MAX_BODY:
            size = int((await reader.readline()).split(b";")[0], 16)
            if size == 0:
                break
            body += await reader.readexactly(size)
            await reader.readline()
        return body
    if b"content-length" in headers:
        return await reader.readexactly(min(int(headers[b"content-length"]), MAX_BODY))
    body = b""
    while len(body) < MAX_BODY:
        chunk = await reader.read(65536)
        if not chunk:
            break
        body += chunk
    return body
