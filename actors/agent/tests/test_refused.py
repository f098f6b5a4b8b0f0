"""JetStream refuses a write: what is true is kept, tried again ever more seldom, told, and
written in the end. Nobody crashes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import unittest
from unittest import mock

import nats
from dynctl_agent.job import agent as agent_module
from dynctl_agent.job import bus as bus_module
from dynctl_agent.job import events, observe, retry
from dynctl_agent.job.bus import STREAM
from dynctl_agent.job.events import Facts
from dynctl_agent.job.observe import Writer
from nats.js.api import DiscardPolicy, StreamConfig

from .cluster import worker
from .fakecase import AgentThread, FakeCase, hushed
from .test_bus import Real


def settings(**values):
    """The stream of events with a bound."""
    return StreamConfig(name=STREAM, subjects=["dynctl.events.>"], discard=DiscardPolicy.NEW, **values)


GENERATION = "0a0a0a0a"


class RefusedByARealServer(Real):
    """The base class's own tests are not run again."""

    test_what_others_write = None

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.js = self.other.jetstream()
        self.output = hushed(self)
        for module in (events, observe):
            for name, value in (("RETRY", 0.02), ("RETRY_MAX", 0.2)):
                patch = mock.patch.object(module, name, value)
                patch.start()
                self.addCleanup(patch.stop)
        self.tries = 0

    def counted(self, call):
        async def counting(*args):
            self.tries += 1
            return await call(*args)

        return counting

    async def refused(self, times):
        """Until it was refused so often."""
        for _ in range(1500):
            if self.tries >= times:
                return
            await asyncio.sleep(0.01)
        self.fail(f"{self.tries} tries: {self.output.getvalue()}")

    def told(self, text):
        lines = [line for line in self.output.getvalue().splitlines() if text in line]
        self.assertEqual(len(lines), 1, self.output.getvalue())
        return json.loads(lines[0])

    async def stored(self):
        units = []
        for sequence in itertools.count(1):
            try:
                message = await self.js.get_msg(STREAM, sequence)
            except nats.js.errors.NotFoundError:
                return units
            units.append(json.loads(message.data)["data"]["unit"])

    async def test_facts_of_a_stream_without_room(self):
        await self.js.add_stream(settings(max_bytes=1000))
        facts = Facts(self.bus)
        self.bus.publish = self.counted(self.bus.publish)
        units = [f"u{i}" for i in range(20)]
        for unit in units:
            facts.tell("unit-exited", {"server": "s", "unit": unit})
        await self.refused(8)
        began, tries = asyncio.get_running_loop().time(), self.tries
        await asyncio.sleep(1)
        rate = (self.tries - tries) / (asyncio.get_running_loop().time() - began)
        self.assertLess(rate, 20, "it is tried again without a pause")
        self.assertGreater(facts.counts()["factsSpooled"], 15)
        self.assertIn("error", self.told("facts wait to be stored"))
        await self.js.update_stream(settings(max_bytes=1 << 20))
        await facts.drain()
        self.assertEqual(await self.stored(), units)
        self.assertEqual(facts.counts(), {"factsSpooled": 0, "factsDropped": 0})

    async def test_a_fact_that_the_stream_never_takes(self):
        await self.js.add_stream(settings(max_msg_size=2000))
        facts = Facts(self.bus)
        facts.tell("unit-exited", {"server": "s", "unit": "a"})
        facts.tell("unit-exited", {"server": "s", "unit": "large", "message": "x" * 3000})
        facts.tell("unit-exited", {"server": "s", "unit": "larger", "message": "x" * (2 << 20)})
        facts.tell("unit-exited", {"server": "s", "unit": "no part of a subject"})
        facts.tell("unit-exited", {"server": "s", "unit": "b"})
        await facts.drain()
        self.assertEqual(await self.stored(), ["a", "b"])
        self.assertEqual(facts.counts(), {"factsSpooled": 0, "factsDropped": 3})

    async def test_a_value_that_the_bucket_has_no_room_for(self):
        config = (await self.js.stream_info(f"KV_{bus_module.BUCKET}")).config
        config.max_bytes = 4000
        await self.js.update_stream(config)
        await self.bucket.put("filler", b"x" * 3500)
        value = {"state": "Running", "text": "y" * 1000}

        async def in_charge():
            self.fail("there was no conflict")

        writer = Writer(self.bus, "unit.s.u", lambda: value, in_charge)
        self.bus.write = self.counted(self.bus.write)
        writer.mark()
        await self.refused(5)
        self.assertEqual((await self.bus.read("unit.s.u"))[0], None)
        self.told("not written yet")
        value = {"state": "Exited", "text": "z" * 1000}  # what is true by then counts
        await self.bucket.purge("filler")
        await asyncio.wait_for(writer.flush(), 10)
        stored = json.loads((await self.bucket.get("unit.s.u")).value)
        self.assertEqual({**stored, "sentAt": ""}, {**value, "sentAt": ""})


class RefusedAtTheStart(FakeCase):
    async def test_an_agent_starts_however_often_it_is_refused(self):
        w = worker("s", GENERATION, 0, ["sleep", "1000"])
        await self.new_agent()
        self.start(w)
        await self.running(w)
        await self.kill_agent()
        # Keys that the next one has to delete, and to write.
        self.nats.bucket.update({"unit.s.gone": ({"incarnation": 1}, 900), "who.knows": ({"a": 1}, 901)})
        self.nats.refusing = 12
        with mock.patch.object(retry.Backoff, "failed", lambda self, *_, **__: asyncio.sleep(0.01)):
            agent = await self.new_agent()
            await self.until(lambda: self.nats.refused == 12 and self.state(w) == "Running")
        self.assertFalse(agent.ended.done())
        self.assertIsNone(self.nats.get("who.knows"))
        self.assertIsNone(self.nats.get("unit.s.gone"))


class Nowhere(FakeCase):
    """The agent has taken charge, and its heartbeat stands in the bucket, but nothing more
    of its start succeeds."""

    async def begun(self):
        self.nats.deaf = True
        self.agents.append(AgentThread(self.cluster, self.nats))
        await self.until(lambda: self.nats.get("agent"))
        return self.agents[-1]

    async def test_it_ends_with_the_cause(self):
        with mock.patch.object(agent_module, "PATIENCE", 0.3):
            agent = await self.begun()
            await self.until(agent.ended.done)
        self.assertIn("stream not found", str(agent.ended.exception()))

    async def test_it_ends_once_another_has_taken_charge(self):
        agent = await self.begun()
        other = {**self.nats.get("agent"), "incarnation": 2, "jobId": "another"}
        self.nats.put("agent", other)
        await self.until(agent.ended.done)
        self.assertEqual(agent.ended.result(), 0)
        self.assertEqual(self.nats.get("agent"), other)


class Pauses(unittest.IsolatedAsyncioTestCase):
    async def test_they_grow_to_a_bound_and_start_over(self):
        slept = []

        async def sleep(seconds):
            slept.append(seconds)

        output = io.StringIO()
        with mock.patch.object(retry.asyncio, "sleep", sleep), contextlib.redirect_stdout(output):
            backoff = retry.Backoff(0.5, 3)
            for _ in range(5):
                await backoff.failed("not yet", OSError("no"))
            backoff.succeeded()
            await backoff.failed("not yet", OSError("no"))
        self.assertEqual(slept, [0.5, 1, 2, 3, 3, 0.5])
        self.assertEqual(output.getvalue().count("not yet"), 2)


del Real  # its tests are those of test_bus

if __name__ == "__main__":
    unittest.main()
