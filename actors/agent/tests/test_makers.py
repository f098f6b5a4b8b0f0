"""What carries no store id is nobody's leftover while the job that made it lives, or is not known."""

from __future__ import annotations

import asyncio
import types
import unittest

from .cluster import worker
from .fakecase import FakeCase

GENERATION = "0a0a0a0a"


class Makers(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.t = worker("s", GENERATION, 0, ["x"])

    def strangers(self):
        """What was reported as somebody else's, in turn."""
        return [v for k, v in self.nats.history if k.startswith("unit.") and v and not v["storeId"]]

    async def group(self):
        return await self.cluster.create_group(self.t["placementGroup"])

    def actor(self, group):
        """An actor of another class."""
        name = self.t["actors"][0]["name"]
        dead = asyncio.Event()
        self.cluster.handles[name] = types.SimpleNamespace(name=name, dead=dead, die=dead.set, actor=None, group=group)

    async def judged(self, alive):
        await self.until(lambda: self.strangers() and self.strangers()[-1]["jobAlive"] == alive)

    async def test_a_group_without_an_actor_yet(self):
        self.cluster.living = ["01"]
        await self.new_agent()
        group = await self.group()
        await self.judged(True)
        self.actor(group)
        await self.until(lambda: self.strangers()[-1]["actors"])
        self.assertTrue(all(v["jobAlive"] for v in self.strangers()))
        self.cluster.living = []
        await self.judged(False)

    async def test_ray_does_not_tell_who_has_made_it(self):
        self.cluster.tells = False
        await self.new_agent()
        self.actor(await self.group())
        await self.judged(True)
        await asyncio.sleep(0.5)
        self.assertTrue(all(v["jobAlive"] for v in self.strangers()))
        self.assertIn("does not tell", self.strangers()[-1]["message"])
        self.cluster.tells = True
        await self.until(lambda: not any(v["jobAlive"] or v["message"] for v in [self.strangers()[-1]]))

    async def test_a_group_whose_actor_says_later_that_it_is_of_another_store(self):
        self.cluster.living = ["01"]
        await self.new_agent()
        group = await self.group()
        await self.judged(True)
        header = {
            "storeId": "another", "actor": self.t["actors"][0]["name"], "template": self.t, "goals": {},
            "placement": {"number": 1, "failures": 0},
        }
        await self.cluster.create_actor(self.t["actors"][0], group, header)
        await self.until(lambda: self.unit(self.t).get("storeId") == "another")
        self.cluster.living = []
        await asyncio.sleep(0.3)
        self.assertTrue(all(v["jobAlive"] for v in self.strangers()))


if __name__ == "__main__":
    unittest.main()
