"""What the agent asks about a fleet at rest, and what it finds all the same."""

from __future__ import annotations

import unittest
from unittest import mock

from dynctl_agent.job import mind

from .cluster import worker
from .fakecase import FakeCase
from .fakes import HEAD

GENERATION = "0a0a0a0a"
NODE = f"node.{HEAD}"


class Rest(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        patch = mock.patch.object(mind, "LOOK_EVERY", 0.05)
        patch.start()
        self.addCleanup(patch.stop)
        await self.new_agent()
        self.t = worker("s", GENERATION, 0, ["x"])
        self.key = f"unit.s.{self.t['unit']}"
        await self.running(self.t)
        await self.looked(2)

    async def looked(self, times):
        """Until all keys were looked at so often from now on."""
        until = self.nats.lists + times
        await self.until(lambda: self.nats.lists >= until)

    async def test_no_value_is_read(self):
        begun = len(self.nats.reads)
        await self.looked(4)
        self.assertEqual(set(self.nats.reads[begun:]) - {"agent"}, set())

    async def test_a_write_that_was_not_heard_of(self):
        for key in (self.key, NODE, "unit.default.zzz"):
            self.nats.put(key, b"garbage", heard=False)
        await self.right()

    async def test_a_delete_that_was_not_heard_of(self):
        for key in (self.key, NODE):
            self.nats.put(key, None, heard=False)
        await self.right()

    async def right(self):
        """Until nothing stands there but what the agent wrote."""

        def is_right():
            there = {k: v for k, (v, _) in list(self.nats.bucket.items()) if v is not None}
            return set(there) == {self.key, NODE, "agent"} and all(isinstance(v, dict) for v in there.values())

        await self.until(is_right)

    async def test_ray_is_asked_once_a_look(self):
        rescan, looks = self.agents[-1].agent._rescan, self.cluster.looks
        with mock.patch.object(rescan, "once", side_effect=RuntimeError("not now")):
            await self.looked(4)  # no other look is under way
            before = dict(looks)
            await self.agents[-1].do(type(rescan).once(rescan))
            self.assertEqual({k: looks[k] - before[k] for k in looks}, {"groups": 1, "actors": 1})


if __name__ == "__main__":
    unittest.main()
