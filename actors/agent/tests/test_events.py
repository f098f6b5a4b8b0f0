"""Facts: what they say, and what becomes of those that cannot be stored."""

from __future__ import annotations

import asyncio
import unittest
from unittest import mock

from dynctl_agent.job import events
from dynctl_agent.job.events import Facts

from .cluster import worker
from .fakecase import FakeCase, hushed
from .fakenats import FakeBus, Nats

GENERATION = "0a0a0a0a"


class Spool(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.nats = Nats()
        self.facts = Facts(FakeBus(self.nats))
        self.facts.begin(1)
        self.output = hushed(self)
        for name, value in (("RETRY", 0.01), ("SPOOL", 3)):
            patch = mock.patch.object(events, name, value, create=True)
            patch.start()
            self.addCleanup(patch.stop)

    def tell(self, *units, **data):
        for unit in units:
            self.facts.tell("unit-exited", {"server": "s", "unit": unit, **data})

    async def test_those_that_cannot_be_stored_wait_in_order_and_the_rest_is_counted(self):
        self.nats.away = True
        self.tell("a", "b", "c", "d", "e")
        await asyncio.sleep(0.05)
        self.assertEqual(self.facts.counts(), {"factsSpooled": 3, "factsDropped": 2})
        self.assertIn("facts are dropped", self.output.getvalue())
        self.nats.away = False
        await self.facts.drain()
        self.tell("f")
        await self.facts.drain()
        self.assertEqual([f["data"]["unit"] for f in self.nats.facts], ["a", "b", "c", "f"])
        self.assertEqual(self.facts.counts(), {"factsSpooled": 0, "factsDropped": 2})

    async def test_they_wait_as_long_as_it_takes(self):
        self.nats.away = True
        self.tell("a")
        with mock.patch.object(events, "GIVE_UP", 0.02, create=True):  # there was such a bound
            await asyncio.sleep(0.1)
        self.nats.away = False
        await self.facts.drain()
        self.assertEqual(len(self.nats.facts), 1)

    async def test_their_size_is_bounded_too(self):
        self.nats.away = True
        with mock.patch.object(events, "SPOOL_BYTES", 5000, create=True):
            self.tell("a", "b", message="x" * 3000)
        self.assertEqual(self.facts.counts(), {"factsSpooled": 1, "factsDropped": 1})

    async def test_one_that_nobody_will_ever_store_does_not_hold_up_the_others(self):
        publish = self.facts._bus.publish

        async def refuse(subject, message_id, document):
            if document["data"]["unit"] == "large":
                raise ValueError("larger than a message may be")
            await publish(subject, message_id, document)

        self.facts._bus.publish = refuse
        self.tell("large", "b")
        await self.facts.drain()
        self.assertEqual([f["data"]["unit"] for f in self.nats.facts], ["b"])
        self.assertEqual(self.facts.counts(), {"factsSpooled": 0, "factsDropped": 1})


class Origin(FakeCase):
    async def test_a_fact_names_what_asked_for_it(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        await self.until(lambda: self.told("unit-started") and self.told("placement-created"))
        await self.kill_agent()
        await self.new_agent()
        actor.started[0].end(1)
        await self.until(lambda: self.told("unit-exited"))
        self.stop(t, 1)
        await self.until(lambda: self.told("unit-stopped"))
        for kind in ("placement-created", "unit-started", "unit-exited", "unit-stopped"):
            with self.subTest(kind):
                (fact,) = self.told(kind)
                self.assertEqual((fact["epoch"], fact["specRevision"], fact["causeId"]), (1, 7, "cause"))

    async def test_an_execution_is_told_though_its_start_gave_way(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        answered, execute = asyncio.Event(), actor.execute

        async def late(*args):
            answer = await execute(*args)
            await answered.wait()
            return answer

        actor.execute = late
        actor.started[0].end(1)
        await self.until(lambda: self.told("unit-exited"))
        self.start(t, 2)
        await self.until(lambda: len(actor.started) == 2)
        self.start(t, 2)  # as for another actor of the unit that has ended meanwhile
        await self.until(lambda: self.nats.messages[-1].acked)
        answered.set()
        await self.until(lambda: self.state(t) == "Running" and len(self.told("unit-started")) == 2)
        self.assertEqual([f["message"].split(",")[0].split(": ")[1] for f in self.told("unit-started")], ["attempt 1", "attempt 2"])

    async def test_the_heartbeat_counts_what_was_dropped(self):
        await self.new_agent()
        self.assertEqual(self.nats.get("agent")["factsDropped"], 0)


if __name__ == "__main__":
    unittest.main()
