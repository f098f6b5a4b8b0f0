"""Who has subscribed again, from a real nats-server."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import tempfile
import time
import unittest

import nats
from dynctl_agent.job import pause

from .cluster import tool


class Subscribed(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.how = {"servers": f"nats://127.0.0.1:{self.port}", "user": "dynamo", "password": "p"}

    async def login(self):
        return self.how

    def serve(self):
        """NATS comes back."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        argv = [tool("nats-server"), "-a", "127.0.0.1", "-p", str(self.port), "--user", "dynamo", "--pass", "p"]
        server = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

    async def worker(self, name: str):
        """It answers twice, as one with two endpoints does."""

        async def answer(message):
            for endpoint in "ab":
                await message.respond(json.dumps({"id": name * pause.PROCESS_ID + endpoint}).encode())

        nc = await nats.connect(**self.how)
        self.addAsyncCleanup(nc.close)
        await nc.subscribe("$SRV.PING", cb=answer)
        await nc.flush()

    async def test_it_waits_for_nats_and_for_every_worker(self):
        waits = asyncio.ensure_future(pause._all_subscribed(self.login, 2))
        await asyncio.sleep(0.2)
        self.serve()
        await self.worker("x")
        await asyncio.sleep(0.3)
        self.assertFalse(waits.done(), "one of two is there, and answers twice")
        begun = time.monotonic()
        await self.worker("y")
        await asyncio.wait_for(waits, 5)
        self.assertLess(time.monotonic() - begun, 1)

    async def test_which_process_it_is(self):
        flags = ["--request-plane", "nats"]
        self.assertTrue(pause.sends_over_nats({"argv": [{"expand": "{py}"}, "-m", "dynamo.frontend", *flags]}))
        self.assertFalse(pause.sends_over_nats({"argv": [{"expand": "{py}"}, "-m", "dynamo.mocker", *flags]}))
        self.assertFalse(pause.sends_over_nats({"argv": [{"expand": "{py}"}, "-m", "dynamo.frontend", "--request-plane", "tcp"]}))


if __name__ == "__main__":
    unittest.main()
