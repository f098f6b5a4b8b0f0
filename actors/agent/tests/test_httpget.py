"""What is asked of a process over TLS."""

from __future__ import annotations

import asyncio
import pathlib
import ssl
import tempfile
import unittest

from dynctl_agent.actor import health, httpget

from .test_tls import Authority

HTTPS = {"kind": "http", "port": "http", "path": "/health", "tls": True}


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    writer.close()


class OverTLS(unittest.IsolatedAsyncioTestCase):
    async def test_a_frontend_with_a_certificate(self):
        """It is asked by https, whatever its certificate is for and whoever issued it; by
        http it does not answer."""
        with tempfile.TemporaryDirectory() as directory:
            Authority().issue(pathlib.Path(directory), "frontend.example")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{directory}/tls.crt", f"{directory}/tls.key")
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            self.assertEqual(await httpget.get("127.0.0.1", port, "/", tls=True), (200, b"ok"))
            for tls, want in ((True, health.OK), (False, health.BAD)):
                monitor = health.Monitor({"health": {**HTTPS, "tls": tls}}, {"http": port}, ["127.0.0.1"])
                self.assertEqual(await monitor._ask(5), want, tls)

    async def test_a_frontend_without(self):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            monitor = health.Monitor({"health": HTTPS}, {"http": port}, ["127.0.0.1"])
            self.assertNotEqual(await monitor._ask(1), health.OK)


if __name__ == "__main__":
    unittest.main()
