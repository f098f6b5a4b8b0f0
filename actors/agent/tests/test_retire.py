"""The last worker of a generation leaves the frontend's choice before it leaves, with a real etcd."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import time
import unittest
from unittest import mock

from dynctl_agent.actor import drain, gateway, retire
from dynctl_agent.actor.gateway import Gateway, text
from dynctl_agent.common.messages import UNKNOWN

from .cluster import tool, wait_for_port
from .patience import within
from .test_actor import LEASE, Actor

PORT = 28390
CARD = {
    "type": "Model", "namespace": "curator-0a0a0a0a", "component": "m", "endpoint": "generate", "instance_id": LEASE,
    "card_json": {"display_name": "m", "worker_type": "aggregated", "model_type": "Chat | Completions", "needs": []},
}


class Etcd(Actor):
    """A worker that has a card and an instance in etcd, beside another."""

    async def asyncSetUp(self):
        await super().asyncSetUp()
        patient = mock.patch.object(gateway, "TIMEOUT", 20.0)  # of a busy machine's etcd
        patient.start()
        self.addCleanup(patient.stop)
        self.url = f"http://127.0.0.1:{PORT}"
        peer = f"http://127.0.0.1:{PORT + 1}"
        self.argv = [
            tool("etcd"), "--listen-client-urls", self.url, "--advertise-client-urls", self.url, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--data-dir", f"{self.dir.name}/etcd",
        ]
        self.launch()
        self.addCleanup(self.kill)
        await asyncio.to_thread(wait_for_port, PORT, 20)
        for lease in (LEASE, LEASE + 1):
            Gateway(self.url).post("lease/grant", {"ID": str(lease), "TTL": "600"})
            self.put(f"v1/mdc/curator-0a0a0a0a/m/generate/{lease:x}", CARD, lease)
            self.put(f"v1/instances/curator-0a0a0a0a/m/generate/{lease:x}", {}, lease)
            self.put(f"v1/instances/curator-0a0a0a0a/m/other/{lease:x}", {}, lease)

    def launch(self):
        self.etcd = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.etcd.kill()
        self.etcd.wait()

    def put(self, key, value, lease):
        body = {"key": text(key.encode()), "value": text(json.dumps(value).encode()), "lease": str(lease)}
        Gateway(self.url).post("kv/put", body)

    def cards(self):
        """Value and lease of every card."""
        found = Gateway(self.url).post("kv/range", {"key": text(b"v1/mdc/"), "range_end": text(b"v1/mdc0")})
        return {
            base64.b64decode(kv["key"]).decode(): (json.loads(base64.b64decode(kv["value"])), int(kv["lease"]))
            for kv in found.get("kvs", [])
        }

    def instances(self):
        """Component, endpoint and lease of every instance."""
        body = {"key": text(b"v1/instances/"), "range_end": text(b"v1/instances0")}
        found = Gateway(self.url).post("kv/range", body)
        return sorted(base64.b64decode(kv["key"]).decode().split("/", 3)[3] for kv in found.get("kvs", []))


class Retire(Etcd):
    async def test_its_namespace_lacks_a_worker_before_it_hears_sigterm(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url})
        before = self.cards()
        begun = time.monotonic()
        stop = asyncio.ensure_future(self.actor.stop({**self.caller, "command": {"verb": "stop", "retires": True}}, 60))
        key = f"v1/mdc/curator-0a0a0a0a/m/leaving/{LEASE:x}"
        async with within(5):
            while key not in self.cards():
                await asyncio.sleep(0.01)
        self.assertEqual(self.log(), "")
        after = self.cards()
        card, lease = after.pop(key)
        self.assertEqual((after, lease), (before, LEASE))
        self.assertEqual((card["endpoint"], card["card_json"]), ("leaving", {"display_name": "m", "worker_type": "encode", "model_type": "", "needs": []}))
        await stop
        self.assertGreater(time.monotonic() - begun, retire.SETTLE)
        self.assertEqual(self.log(), "term\ndone\n")

    async def test_another_one_of_its_generation_stays(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url})
        before = self.cards()
        await self.actor.stop(self.caller, 60)
        self.assertEqual(self.cards(), before)

    async def test_without_etcd_it_leaves_all_the_same(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url})
        self.kill()
        with mock.patch.object(retire, "log") as log, mock.patch.object(retire, "PATIENCE", 0.5):
            await self.actor.stop({**self.caller, "command": {"retires": True}}, 60)
        self.assertEqual(log.call_count, 1)
        self.assertEqual(self.log(), "term\ndone\n")

    async def test_it_serves_on_until_etcd_is_back_and_the_frontend_has_caught_up(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url})
        self.kill()
        with mock.patch.object(retire, "BEHIND", 4.0):
            stop = asyncio.ensure_future(self.actor.stop({**self.caller, "command": {"retires": True}}, 60))
            await asyncio.sleep(0.5)
            self.launch()
            await asyncio.to_thread(wait_for_port, PORT, 20)
            async with within(5):
                while len(self.cards()) < 3:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(2.0)  # longer than SETTLE
            self.assertEqual(self.log(), "")
            await stop
        self.assertEqual(self.log(), "term\ndone\n")


class Finish(Etcd):
    """A worker of a real engine leaves discovery, finishes, and is told to end then."""

    async def test_it_finishes_what_it_has_before_it_hears_sigterm(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url}, "dynamo.vllm")
        self.under_way(2)
        stop = asyncio.ensure_future(self.actor.stop(self.caller, 60))
        async with within(10):
            while f"m/generate/{LEASE:x}" in self.instances():
                await asyncio.sleep(0.01)
        self.assertEqual(list(self.cards()), [f"v1/mdc/curator-0a0a0a0a/m/generate/{LEASE + 1:x}"])
        self.assertEqual(self.instances(), [f"m/generate/{LEASE + 1:x}", f"m/other/{LEASE:x}", f"m/other/{LEASE + 1:x}"])
        await asyncio.sleep(3 * drain.IDLE)
        self.assertEqual(self.log(), "", "it has requests under way")
        self.under_way(0)
        snap = await stop
        self.assertEqual((self.log(), snap["lost"]), ("term\ndone\n", 0))

    async def test_an_idle_one_hears_it_at_once(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url}, "dynamo.vllm")
        asked = mock.AsyncMock(return_value=0)
        with mock.patch.object(self.actor._execution, "_under_way", asked):
            await self.actor.stop(self.caller, 600)
        self.assertEqual(self.log(), "term\ndone\n")
        self.assertLessEqual(asked.await_count, drain.IDLE / drain.EVERY + 3)

    async def test_one_that_does_not_say_is_not_waited_for(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url}, "dynamo.vllm")
        with mock.patch.object(self.actor._execution, "_under_way", mock.AsyncMock(return_value=UNKNOWN)):
            await asyncio.wait_for(self.actor.stop(self.caller, 600), 30)
        self.assertEqual(self.log(), "term\ndone\n")

    async def test_one_that_hangs_meanwhile_is_killed(self):
        pid = await self.execute("finishes", {"ETCD_ENDPOINTS": self.url}, "dynamo.vllm")
        self.under_way(1)
        stop = asyncio.ensure_future(self.actor.stop(self.caller, 600))
        async with within(10):
            while f"m/generate/{LEASE:x}" in self.instances():
                await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
        snap = await asyncio.wait_for(stop, 60)
        self.assertTrue(snap["hung"])

    async def test_without_etcd_it_hears_it_at_once(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url}, "dynamo.vllm")
        self.under_way(3)
        self.kill()
        with mock.patch.object(retire, "log") as log:
            await self.actor.stop(self.caller, 600)
        self.assertEqual(log.call_count, 1)
        self.assertEqual(self.log(), "term\ndone\n")


if __name__ == "__main__":
    unittest.main()
