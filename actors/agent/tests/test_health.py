"""Readiness, leases and hangs, against real sockets."""

from __future__ import annotations

import asyncio
import time
import unittest
import unittest.mock

from dynctl_agent.actor import health, httpget
from dynctl_agent.common.messages import UNKNOWN


async def until(condition, timeout=20.0):
    limit = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError
        await asyncio.sleep(0.005)


class Server:
    """An HTTP server whose answers a test sets: a status, or None for silence."""

    def __init__(self):
        self.answers = {}
        self.asked = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        line = await reader.readline()
        self.asked += 1
        status, body = self.answers.get(line.split()[1].decode() if line else "", (404, b""))
        if status is None:
            await reader.read()  # silence, until the client gives up
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        writer.close()


class UnderWay(unittest.IsolatedAsyncioTestCase):
    METRICS = (
        b'dynamo_component_inflight_requests{dynamo_endpoint="generate",worker_id="ff"} 3\n'
        b'dynamo_component_inflight_requests{dynamo_endpoint="worker_kv_query",worker_id="ff"} 7\n'
    )

    async def test_count(self):
        for name, answer, want in (
            ("three", (200, self.METRICS), 3),
            ("no such metric", (200, b"x 1\n"), UNKNOWN),
            ("an error", (503, b""), UNKNOWN),
            ("silence", (None, b""), UNKNOWN),
        ):
            with self.subTest(name):
                async with Server() as server:
                    server.answers["/metrics"] = answer
                    self.assertEqual(await health.inflight(server.port, ["127.0.0.1"]), want)


class Lease(unittest.TestCase):
    def test_parse(self):
        for name, metrics, want in (
            ("none", b"x 1\n", 0),
            ("hex", b'a{worker_id="694d9c2f0a7b3c15",x="1"} 2\n', 0x694D9C2F0A7B3C15),
            ("short", b'a{worker_id="ff"} 2\n', 255),
            ("above 2**63 it is negative, as etcd's int64", b'a{worker_id="ffffffffffffffff"} 2\n', -1),
        ):
            with self.subTest(name):
                self.assertEqual(health.parse_lease(metrics), want)


class Http(unittest.IsolatedAsyncioTestCase):
    async def raw(self, answer: bytes):
        async def serve(reader, writer):
            await reader.readline()
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await httpget.get("127.0.0.1", server.sockets[0].getsockname()[1], "/", 2)

    async def test_bodies(self):
        for name, answer, want in (
            ("length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", (200, b"ab")),
            ("until the end", b"HTTP/1.0 503 No\r\n\r\nabc", (503, b"abc")),
            ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", (200, b"abc")),
        ):
            with self.subTest(name):
                self.assertEqual(await self.raw(answer), want)

    async def test_no_http(self):
        with self.assertRaises(ValueError):
            await self.raw(b"SSH-2.0\r\n")


class Monitor(unittest.IsolatedAsyncioTestCase):
    def monitor(self, port: int, rule: dict, **template):
        self.told = []
        m = health.Monitor({"health": {"port": "p", **rule}, **template}, {"p": port}, ["127.0.0.1"])
        m.on_ready = lambda: self.told.append("ready")
        m.on_lease = lambda lease: self.told.append(lease)
        m.on_failure = self.told.append
        return m

    async def test_none_is_ready_at_once(self):
        await asyncio.wait_for(self.monitor(0, {"kind": "none"}).run(), 20)
        self.assertEqual(self.told, ["ready"])

    async def test_nats(self):
        async def greet(_, writer):
            writer.write(b'INFO {"server_id":"x"}\r\n')
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            await asyncio.wait_for(self.monitor(server.sockets[0].getsockname()[1], {"kind": "nats"}).run(), 20)
        self.assertEqual(self.told, ["ready"])

    async def test_what_serves_all_is_ended_for_silence_alone(self):
        rule = {"kind": "http", "path": "/health", "every": 0.01, "failures": 3}
        async with Server() as server:
            server.answers = {"/health": (200, b"")}
            run = asyncio.ensure_future(self.monitor(server.port, rule).run())
            await until(lambda: self.told)
            server.answers["/health"] = (503, b"")
            asked = server.asked
            await until(lambda: server.asked > asked + 6)
            self.assertEqual(self.told, ["ready"])
            with unittest.mock.patch.object(health, "TIMEOUT", 0.1):
                server.answers["/health"] = (None, b"")
                await asyncio.wait_for(run, 20)
        self.assertEqual(self.told, ["ready", health.HUNG])

    async def test_a_silent_nats_hangs(self):
        greets = True

        async def greet(reader, writer):
            if greets:
                writer.write(b"INFO {}\r\n")
                writer.close()
            else:
                await reader.read()
                writer.close()  # from Python 3.12 on the server waits for it at its end

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            rule = {"kind": "nats", "every": 0.01, "failures": 3}
            with unittest.mock.patch.object(health, "TIMEOUT", 0.1):
                run = asyncio.ensure_future(self.monitor(server.sockets[0].getsockname()[1], rule).run())
                await until(lambda: self.told)
                greets = False
                await asyncio.wait_for(run, 20)
        self.assertEqual(self.told, ["ready", health.HUNG])

    async def test_ready_only_at_200_then_the_lease(self):
        async with Server() as server:
            server.answers = {"/health": (503, b""), "/metrics": (200, b"")}
            run = asyncio.ensure_future(self.monitor(server.port, {"kind": "http", "path": "/health", "lease": True}).run())
            await until(lambda: server.asked >= 6)
            self.assertEqual(self.told, [])
            server.answers["/health"] = (200, b"")
            await until(lambda: self.told)
            self.assertEqual(self.told, ["ready"])
            server.answers["/metrics"] = (200, b'x{worker_id="10"} 1')
            await asyncio.wait_for(run, 20)
        self.assertEqual(self.told, ["ready", 16])

    async def test_startup_timeouts(self):
        for name, template in (("startupTimeout", {"startupTimeout": 0.3}), ("firstWithin", {"startupTimeout": 60})):
            with self.subTest(name):
                async with Server() as server:
                    server.answers = {"/": (None, b"")}
                    rule = {"kind": "http", "path": "/", "firstWithin": 0.3 if name == "firstWithin" else 0}
                    begun = time.monotonic()
                    await asyncio.wait_for(self.monitor(server.port, rule, **template).run(), 20)
                self.assertEqual(self.told, [health.STARTUP_TIMEOUT])
                self.assertGreaterEqual(time.monotonic() - begun, 0.3)

    async def test_hung_after_failures_in_a_row(self):
        async with Server() as server:
            server.answers = {"/": (200, b""), "/metrics": (200, b'x{worker_id="10"} 1')}
            rule = {"kind": "http", "path": "/", "lease": True, "every": 0.05, "failures": 3}
            run = asyncio.ensure_future(self.monitor(server.port, rule).run())
            await until(lambda: 16 in self.told and server.asked >= 6)
            self.assertEqual(sorted(map(str, self.told)), ["16", "ready"])
            asked, server.answers["/"] = server.asked, (503, b"")
            await asyncio.wait_for(run, 20)
            self.assertEqual(self.told[2:], [health.HUNG])
            self.assertIn(server.asked - asked, (6, 7), "each time for its progress too")


if __name__ == "__main__":
    unittest.main()
