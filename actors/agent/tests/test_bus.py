"""The bus against a real nats-server: what others write is heard, read with suspicion and
deleted."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest
from unittest import mock

import nats
from dynctl_agent.job import bus, values
from dynctl_agent.job.bus import BUCKET, STREAM, Bus
from dynctl_agent.job.config import Config
from nats.js.kv import KeyValue

SERVER = pathlib.Path(__file__).parents[3] / "bin" / "nats-server"


class Real(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.directory = tempfile.mkdtemp(prefix="dynctl-bus-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        command = [str(SERVER), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", self.directory]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait, 10)
        self.addCleanup(server.terminate)
        url = f"nats://127.0.0.1:{port}"

        async def not_yet(_: Exception) -> None:
            pass

        self.other = await nats.connect(url, max_reconnect_attempts=100, reconnect_time_wait=0.05, error_cb=not_yet)
        self.addAsyncCleanup(self.other.close)
        self.bucket = await self.other.jetstream().create_key_value(bucket=BUCKET)
        self.bus = Bus()
        await self.bus.connect(Config(nats_url=url, store_id="s", ray_namespace="n"))
        self.addAsyncCleanup(self.bus.close)

    async def test_a_stream_that_was_made_again(self):
        """Commands are read on from its first one, whatever was read of the one before."""
        js = self.other.jetstream()

        async def made() -> None:
            await js.add_stream(name=STREAM, subjects=["dynctl.events.>"])

        async def command(text: bytes) -> None:
            await js.publish("dynctl.events.default.start.u", text)

        await made()
        await command(b"before")
        subscription = await self.bus.subscribe("agent-1", 0)
        await command(b"one")
        await command(b"two")
        (one,) = await subscription.fetch(1, timeout=5)
        subscription = await self.bus.subscribe("agent-2", one.metadata.sequence.stream)
        (two,) = await subscription.fetch(1, timeout=5)
        self.assertEqual((one.data, two.data), (b"one", b"two"))
        await js.delete_stream(STREAM)
        await made()
        await command(b"three")
        subscription = await self.bus.subscribe("agent-2", two.metadata.sequence.stream)
        (three,) = await subscription.fetch(1, timeout=5)
        self.assertEqual(three.data, b"three")

    async def test_what_others_write(self):
        value = {"incarnation": 1, "synced": True, "epoch": 0}
        revision = await self.bus.write("agent", value, 0)
        self.assertEqual(await self.bus.read("agent"), (value, revision))
        await asyncio.sleep(0.2)
        self.assertEqual(self.bus.touched, set(), "its own writes are not heard")
        for key, garbage in (("agent", b"garbage"), ("unit.default.zzz", b"[]"), ("node.x", b"\xff"), ("later.thing", b"{}")):
            await self.bucket.put(key, garbage)
        await asyncio.wait_for(self.bus.touch.wait(), 5)
        await asyncio.sleep(0.2)
        self.assertEqual(self.bus.touched, {"agent", "unit.default.zzz", "node.x", "later.thing"})
        for key in sorted(self.bus.touched):
            found, revision = await self.bus.read(key)
            self.assertIsInstance(found, values.Garbage, key)
            await self.bus.delete(key, revision)
            self.assertIsNone((await self.bus.read(key))[0])
        self.assertEqual(await self.bus.keys(), {})

    async def test_all_keys(self):
        ours = {f"unit.s.{n}": await self.bus.write(f"unit.s.{n}", {"n": n}, 0) for n in range(300)}
        await self.bus.delete("unit.s.7", ours.pop("unit.s.7"))
        self.assertEqual(await self.bus.keys(), ours)

    async def test_a_list_that_does_not_end(self):
        silent = KeyValue.KeyWatcher(None)
        silent._sub = mock.AsyncMock()
        with (
            mock.patch.object(self.bus._kv, "watchall", return_value=silent),
            mock.patch.object(bus, "LISTING_SILENCE", 0.1),
            self.assertRaises(asyncio.TimeoutError),
        ):
            await self.bus.keys()


if __name__ == "__main__":
    unittest.main()
