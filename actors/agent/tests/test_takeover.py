"""What an agent makes of what its predecessor has left, with Ray and NATS in this process."""

from __future__ import annotations

import asyncio
import signal
import unittest

from .cluster import worker
from .fakes import FakeCase

GENERATION = "0a0a0a0a"


class Stop(FakeCase):
    async def gone(self, t):
        """Nothing of a unit is left."""
        await self.until(lambda: not self.state(t))
        self.assertEqual((await self.cluster.actor_names(), await self.cluster.find_group(t["placementGroup"]["name"])), ([], None))

    async def test_it_goes_on_when_the_agent_dies_while_a_unit_drains(self):
        for verb in ("stop", "sweep"):
            with self.subTest(verb):
                t = worker("s", GENERATION, 0, ["x"])
                await self.new_agent()
                actor = await self.running(t)
                self.stop(t, 60, verb)
                await self.until(lambda: actor.started[0].signals)
                await self.kill_agent()
                await self.new_agent()
                await self.until(lambda: self.state(t) == "Stopping")
                actor.started[0].end(0)
                await self.gone(t)
                self.assertEqual(actor.started[0].signals, [signal.SIGTERM], "one is enough")
                fact = await self.until(lambda: self.told("unit-stopped" if verb == "stop" else "orphan-swept"))
                self.assertEqual(fact[0]["causeId"], "cause")
                await self.kill_agent()

    async def test_it_goes_on_when_the_process_has_ended_meanwhile(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        self.stop(t, 60)
        await self.until(lambda: actor.started[0].signals)
        await self.kill_agent()
        actor.started[0].end(0)
        await asyncio.sleep(0.05)
        await self.new_agent()
        await self.gone(t)

    async def test_the_grace_period_counts_from_the_first_sigterm(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        loop = asyncio.get_running_loop()
        self.stop(t, 1.5)
        await self.until(lambda: actor.started[0].signals)
        begun = loop.time()
        await self.kill_agent()
        await asyncio.sleep(1.0)
        await self.new_agent()
        await self.gone(t)
        self.assertLess(loop.time() - begun, 2.4)

    async def test_a_start_that_follows_waits_for_it(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        self.stop(t, 60)
        await self.until(lambda: actor.started[0].signals)
        await self.kill_agent()
        await self.new_agent()
        self.start(t)
        actor.started[0].end(0)
        await self.until(lambda: self.state(t) == "Running" and self.actor(t) is not actor)


if __name__ == "__main__":
    unittest.main()
