"""The last worker of a generation leaves the frontend's choice before it leaves, with a real etcd."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time
import unittest
from unittest import mock

from dynctl_agent import retire

from .cluster import tool, wait_for_port
from .test_actor import LEASE, Actor

PORT = 28390
CARD = {
    "type": "Model", "namespace": "curator-0a0a0a0a", "component": "m", "endpoint": "generate", "instance_id": LEASE,
    "card_json": {"display_name": "m", "worker_type": "aggregated", "model_type": "Chat | Completions", "needs": []},
}


class Retire(Actor):
    async def asyncSetUp(self):
        await super().asyncSetUp()
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
            retire._post(self.url, "lease/grant", {"ID": str(lease), "TTL": "600"})
            self.put(f"v1/mdc/curator-0a0a0a0a/m/generate/{lease:x}", CARD, lease)

    def launch(self):
        self.etcd = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.etcd.kill()
        self.etcd.wait()

    def put(self, key, value, lease):
        body = {"key": retire._text(key.encode()), "value": retire._text(json.dumps(value).encode()), "lease": str(lease)}
        retire._post(self.url, "kv/put", body)

    def cards(self):
        """Value and lease of every card."""
        found = retire._post(self.url, "kv/range", {"key": retire._text(b"v1/mdc/"), "range_end": retire._text(b"v1/mdc0")})
        return {
            base64.b64decode(kv["key"]).decode(): (json.loads(base64.b64decode(kv["value"])), int(kv["lease"]))
            for kv in found.get("kvs", [])
        }

    async def test_its_namespace_lacks_a_worker_before_it_hears_sigterm(self):
        await self.execute("finishes", {"ETCD_ENDPOINTS": self.url})
        before = self.cards()
        begun = time.monotonic()
        stop = asyncio.ensure_future(self.actor.stop({**self.caller, "command": {"verb": "stop", "retires": True}}, 60))
        key = f"v1/mdc/curator-0a0a0a0a/m/leaving/{LEASE:x}"
        async with asyncio.timeout(5):
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
            async with asyncio.timeout(5):
                while len(self.cards()) < 3:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(2.0)  # longer than SETTLE
            self.assertEqual(self.log(), "")
            await stop
        self.assertEqual(self.log(), "term\ndone\n")


if __name__ == "__main__":
    unittest.main()
