"""In which order Ray is asked for actors."""

from __future__ import annotations

import asyncio
import unittest
from unittest import mock

from dynctl_agent.job import starting

from .cluster import two_ranks, worker
from .fakecase import FakeCase

GENERATION = "0a0a0a0a"


def with_infra():
    """A unit of infra with NATS, and a worker that needs it."""
    infra, t = worker("s", GENERATION, 0, ["x"]), worker("s", GENERATION, 1, ["x"], needs=["infra/Dynamo_NATS"])
    infra["unit"] = "infra"
    infra["actors"][0].update(name="dynamo_s_NATS", label="Dynamo_NATS")
    return infra, t


class Order(FakeCase):
    def noted(self, never=""):
        """The names of the actors that are created from now on, in that order; one is never."""
        create, created = self.cluster.create_actor, []

        async def note(template, group, header):
            if template["name"] == never:
                await asyncio.Event().wait()
            created.append(template["name"])
            return await create(template, group, header)

        self.cluster.create_actor = note
        return created

    async def test_who_comes_first_in_the_template_is_created_first(self):
        t = two_ranks(worker("s", GENERATION, 0, ["x"]))
        names = [a["name"] for a in t["actors"]]
        find, created = self.cluster.find_actor, self.noted()

        async def slow_find(name):
            if name == names[0]:
                await asyncio.sleep(0.1)
            return await find(name)

        self.cluster.find_actor = slow_find
        await self.new_agent()
        self.start(t)
        await self.until(lambda: len(created) == 2)
        self.assertEqual(created, names)

    async def test_what_others_need_is_created_first_in_whichever_unit(self):
        infra, t = with_infra()
        create_group, created = self.cluster.create_group, self.noted()

        async def slow_group(wanted):
            if wanted["name"] == infra["placementGroup"]["name"]:
                await asyncio.sleep(0.1)
            return await create_group(wanted)

        self.cluster.create_group = slow_group
        await self.new_agent()
        self.start(infra)
        self.start(t)
        await self.until(lambda: len(created) == 2)
        self.assertEqual(created, ["dynamo_s_NATS", t["actors"][0]["name"]])

    async def test_what_is_not_asked_for_is_not_waited_for_for_ever(self):
        infra, t = with_infra()
        created = self.noted(never="dynamo_s_NATS")
        with mock.patch.object(starting, "NEEDS_FIRST", 0.1):
            await self.new_agent()
            self.start(infra)
            self.start(t)
            await self.until(lambda: created)
        self.assertEqual(created, [t["actors"][0]["name"]])


if __name__ == "__main__":
    unittest.main()
