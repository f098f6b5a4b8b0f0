"""In which order Ray is asked for the actors of a unit."""

from __future__ import annotations

import asyncio
import unittest

from .cluster import two_ranks, worker
from .fakecase import FakeCase

GENERATION = "0a0a0a0a"


class Order(FakeCase):
    async def test_who_comes_first_in_the_template_is_created_first(self):
        t = two_ranks(worker("s", GENERATION, 0, ["x"]))
        names = [a["name"] for a in t["actors"]]
        create, find, created = self.cluster.create_actor, self.cluster.find_actor, []

        async def slow_find(name):
            if name == names[0]:
                await asyncio.sleep(0.1)
            return await find(name)

        async def note(template, group, header):
            created.append(template["name"])
            return await create(template, group, header)

        self.cluster.find_actor, self.cluster.create_actor = slow_find, note
        await self.new_agent()
        self.start(t)
        await self.until(lambda: len(created) == 2)
        self.assertEqual(created, names)


if __name__ == "__main__":
    unittest.main()
