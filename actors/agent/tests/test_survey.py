"""What nodes say of themselves."""

from __future__ import annotations

import asyncio
import os
import platform
import types
import unittest
from unittest import mock

from dynctl_agent.actor import inventory
from dynctl_agent.job import survey
from dynctl_agent.job.nodes import Nodes
from dynctl_agent.job.survey import Survey

from .fakecase import FakeCase
from .fakes import HEAD


class Look(unittest.TestCase):
    def test_versions(self):
        found = inventory.versions()
        self.assertEqual(found["python"], platform.python_version())
        self.assertRegex(found["dynamo"], r"^\d+\.\d+\.\d+")
        self.assertNotIn("sglang", found)

    def test_cards(self):
        row = types.SimpleNamespace
        rows = [row(pid=os.getpid(), usedGpuMemory=5 << 30), row(pid=2**22 + 1, usedGpuMemory=7 << 30)]

        def by_index(index):
            if index == 1:
                raise RuntimeError("GPU is lost")
            return index

        nvml = types.SimpleNamespace(
            nvmlDeviceGetHandleByIndex=by_index, nvmlDeviceGetUUID=lambda h: b"GPU-1", nvmlDeviceGetName=lambda h: "H100",
            nvmlDeviceGetMemoryInfo=lambda h: row(total=80 << 30, used=12 << 30), nvmlDeviceGetComputeRunningProcesses=lambda h: rows,
        )
        card = inventory.card(nvml, 0)
        self.assertEqual((card["uuid"], card["name"], card["memoryUsed"]), ("GPU-1", "H100", 12 << 30))
        self.assertEqual([p["group"] for p in card["processes"]], [0, os.getpgid(0)])
        self.assertEqual(inventory.card(nvml, 1), {"index": 1, "error": "GPU is lost"})

    def test_without_a_driver(self):
        from ray._private.thirdparty import pynvml

        with mock.patch.object(pynvml, "nvmlInit", side_effect=pynvml.NVMLError(12)):
            self.assertEqual(inventory.cards(), [])


class Asking(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.asked, self.starting = [], False

        async def look(node, cache_dir):
            self.asked.append(node)
            if node == "broken":
                raise RuntimeError("no worker process")
            return {"versions": {"dynamo": "1.6.0"}, "cards": self.cards}

        self.cards = []
        self.worker = types.SimpleNamespace(snap={"childPid": 0})
        unit = types.SimpleNamespace(starting=lambda: self.starting, actors={"a": self.worker})
        self.units = {("s", "u"): unit}
        self.world = types.SimpleNamespace(
            config=types.SimpleNamespace(cache_dir="/kept"), units=self.units, ray=types.SimpleNamespace(look=look), spawn=lambda work: asyncio.ensure_future(work)
        )
        self.told = {}
        self.nodes = types.SimpleNamespace(alive=lambda: ["a", "broken"], tell=self.told.__setitem__)

    async def surveyed(self, seconds):
        with mock.patch.object(survey, "LOOK", 0.001):
            task = asyncio.ensure_future(Survey(self.world, self.nodes).run())
            await asyncio.sleep(seconds)
            task.cancel()

    async def test_each_node_is_asked_once_and_one_that_fails_later(self):
        await self.surveyed(0.1)
        self.assertEqual(sorted(self.asked), ["a", "broken"])
        self.assertEqual(self.told, {"a": {"versions": {"dynamo": "1.6.0"}}})

    async def test_nothing_is_asked_while_a_unit_starts(self):
        self.starting = True
        await self.surveyed(0.1)
        self.assertEqual(self.asked, [])
        with mock.patch.object(survey, "PATIENCE", 0.01):
            await self.surveyed(0.1)
        self.assertEqual(sorted(self.asked), ["a", "broken"])


    async def test_cards_are_looked_at_also_while_a_unit_starts(self):
        self.cards = [{"index": 0}]
        with mock.patch.object(survey, "EVERY_WITH_CARDS", 0.005):
            task = asyncio.ensure_future(self.surveyed(0.3))
            await asyncio.sleep(0.1)
            self.starting, before = True, len(self.asked)
            await task
        self.assertGreater(len(self.asked), before)

    async def test_a_worker_that_has_ended_is_no_stranger(self):
        self.cards = [{"index": 0, "processes": [{"pid": 8, "group": 7}, {"pid": 9, "group": 9}]}]
        with mock.patch.object(survey, "EVERY_WITH_CARDS", 0.005):
            self.worker.snap["childPid"] = 7
            task = asyncio.ensure_future(self.surveyed(0.2))
            await asyncio.sleep(0.1)
            self.worker.snap["childPid"] = 0
            await task
        self.assertEqual([p["ours"] for p in self.told["a"]["cards"][0]["processes"]], [True, False])


class Told(FakeCase):
    async def test_the_own_node_is_written_with_its_versions_from_the_start(self):
        await self.new_agent()
        self.assertRegex(self.nats.get(f"node.{HEAD}")["versions"]["dynamo"], r"^\d+\.\d+")

    async def test_what_a_node_says_is_written_when_it_changes(self):
        agent = await self.new_agent()
        nodes: Nodes = agent.agent._nodes
        agent._loop.call_soon_threadsafe(nodes.tell, HEAD, {"versions": {"dynamo": "9.9.9"}})
        await self.until(lambda: self.nats.get(f"node.{HEAD}")["versions"] == {"dynamo": "9.9.9"})


if __name__ == "__main__":
    unittest.main()
