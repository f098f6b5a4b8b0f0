"""What is observed when the bucket loses it under a living agent."""

from __future__ import annotations

import unittest

from .cluster import worker
from .fakecase import FakeCase
from .fakes import HEAD

GENERATION = "0a0a0a0a"
NODE = f"node.{HEAD}"


class Lost(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.t = worker("s", GENERATION, 0, ["x"])
        self.key = f"unit.s.{self.t['unit']}"
        await self.new_agent()
        await self.running(self.t)
        await self.until(lambda: self.nats.get("agent")["epoch"] == 1)

    async def everything_again(self):
        """Until the agent is synced again; what was written on the way, in order."""
        begun = len(self.nats.history)
        await self.until(lambda: any(k == "agent" and v and not v["synced"] for k, v in self.nats.history[begun:]))
        await self.until(lambda: (self.nats.get("agent") or {}).get("synced"))
        written = [k for k, _ in self.nats.history[begun:]]
        synced = next(n for n, (k, v) in enumerate(self.nats.history[begun:]) if k == "agent" and v and v["synced"])
        for key in (self.key, NODE):
            self.assertIn(key, written[:synced], "before it says that all is there")
        self.assertEqual(self.state(self.t), "Running")

    async def test_a_bucket_that_is_recreated(self):
        self.nats.recreated()
        await self.everything_again()

    async def test_a_key_that_is_deleted(self):
        self.nats.put(self.key, None)
        self.nats.put(NODE, None)
        self.nats.put("agent", None)
        await self.everything_again()

    async def test_one_key_is_written_again_when_it_is_missed(self):
        self.nats.put(self.key, None)
        self.start(self.t)
        await self.until(lambda: self.state(self.t) == "Running")
        self.assertEqual(len(self.actor(self.t).started), 1)

    async def test_a_bucket_that_goes_back(self):
        bucket, sequence = dict(self.nats.bucket), self.nats.sequence
        other = worker("s", GENERATION, 1, ["x"])
        await self.running(other)
        self.stop(self.t, 1)
        await self.until(lambda: self.actor(self.t).started[0].signals)
        self.actor(self.t).started[0].end(0)
        await self.until(lambda: not self.state(self.t))
        await self.until(lambda: self.nats.bucket["agent"][1] > bucket["agent"][1])
        self.nats.bucket, self.nats.sequence = bucket, sequence
        begun = len(self.nats.history)
        await self.until(lambda: any(k == "agent" and v and not v["synced"] for k, v in self.nats.history[begun:]))
        await self.until(lambda: self.nats.get("agent")["synced"])
        self.assertEqual((self.state(self.t), self.state(other)), ("", "Running"))

    async def test_a_write_that_is_under_way(self):
        self.nats.away = True
        self.nats.recreated()
        self.actor(self.t).started[0].end(1)
        await self.until(lambda: "not written yet" in self.output.getvalue())
        self.nats.away = False
        await self.until(lambda: self.state(self.t) == "Exited" and self.nats.get(NODE) and self.nats.get("agent")["synced"])


if __name__ == "__main__":
    unittest.main()
