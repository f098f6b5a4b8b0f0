"""What happened while no agent lived, with Ray and NATS in this process."""

from __future__ import annotations

import asyncio
import unittest

from .cluster import worker
from .fakecase import FakeCase

GENERATION = "0a0a0a0a"


class Unseen(FakeCase):
    """What happened while no agent lived."""

    async def exits(self, count):
        """The exits that were told, once there are so many and no more come."""
        await self.until(lambda: len(self.told("unit-exited")) >= count)
        await self.again()
        return [(f["reason"], f["detail"]["code"], f["detail"]["attempt"], f["detail"]["infraAway"]) for f in self.told("unit-exited")]

    async def again(self):
        """One more agent, until it has reported and looked."""
        await self.kill_agent()
        await self.new_agent()
        await asyncio.sleep(0.2)

    async def test_an_exit_is_told_once(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        await self.kill_agent()
        actor.started[0].end(-9)
        await asyncio.sleep(0.05)
        await self.new_agent()
        self.assertEqual(await self.exits(1), [("Killed", -9, 1, False)])
        self.assertEqual(self.told("unit-exited")[0]["causeId"], "cause")
        actor._state.change(ports={"a": 1})
        await self.until(lambda: self.unit(t)["actors"][0]["ports"])
        self.assertEqual(len(self.told("unit-exited")), 1, "what it says more is no other exit")
        self.start(t, 2)
        await self.until(lambda: self.state(t) == "Running")
        actor.started[1].end(1)
        self.assertEqual(await self.exits(2), [("Killed", -9, 1, False), ("Exited", 1, 2, False)])

    async def test_an_agent_that_ends_before_it_reports_what_it_told(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        await self.kill_agent()
        before = self.nats.bucket[f"unit.s.{t['unit']}"]
        actor.started[0].end(1)
        await self.new_agent()
        await self.kill_agent()
        self.nats.put(f"unit.s.{t['unit']}", before[0])
        await self.new_agent()
        self.assertEqual(await self.exits(1), [("Exited", 1, 1, False)])

    async def test_an_actor_that_died_is_told_once(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        await self.running(t)
        await self.kill_agent()
        self.cluster.handles[t["actors"][0]["name"]].die()
        await self.new_agent()
        self.assertEqual(await self.exits(1), [("ActorDied", -9, 1, False)])
        self.assertIn("while no agent looked", self.told("unit-exited")[0]["detail"]["logTail"])

    async def test_the_death_of_an_actor_is_no_second_exit(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        actor.started[0].end(1)
        await self.until(lambda: self.state(t) == "Exited")
        self.cluster.handles[t["actors"][0]["name"]].die()
        await self.until(lambda: self.unit(t)["actors"][0]["state"] == "Dead")
        self.assertEqual(await self.exits(1), [("Exited", 1, 1, False)])

    async def test_an_actor_that_is_slow_to_say_it(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        await self.kill_agent()
        self.cluster.handles[t["actors"][0]["name"]].gate.clear()
        actor.started[0].end(1)
        await self.new_agent()
        self.assertEqual(self.told("unit-exited"), [])
        self.cluster.handles[t["actors"][0]["name"]].gate.set()
        self.assertEqual(await self.exits(1), [("Exited", 1, 1, False)])

    async def test_an_exit_because_what_it_needs_was_away_stays_that(self):
        for first, away in (("infra", True), ("worker", False)):
            with self.subTest(first):
                self.nats.facts.clear()
                infra = {**worker(first, GENERATION, 7, ["x"]), "unit": "infra"}
                t = worker(first, GENERATION, 0, ["x"], needs=[f"infra/{infra['actors'][0]['label']}"])
                await self.new_agent()
                etcd, actor = await self.running(infra), await self.running(t)
                for a in (etcd, actor):
                    a._state.change(readyAt=a._state.now["readyAt"] - 60, startedAt=a._state.now["startedAt"] - 60)
                await self.kill_agent()
                for a in (etcd, actor) if first == "infra" else (actor, etcd):
                    a.started[0].end(-9)
                    await asyncio.sleep(0.05)
                await self.new_agent()
                await self.exits(2)
                judged = {f["unit"]: f["detail"]["infraAway"] for f in self.told("unit-exited")}
                self.assertEqual(judged, {"infra": False, t["unit"]: away})
                self.assertEqual(self.unit(t)["actors"][0]["exit"]["infraAway"], away, "the next agent knows it too")
                await self.kill_agent()

    async def test_a_start_is_told_once(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        await self.again()
        await self.kill_agent()
        actor._state.change(attempt=2, startedAt=actor._state.now["startedAt"] + 1)
        await self.new_agent()
        await self.again()
        self.assertEqual([f["message"].split(", ")[0].split(": ")[1] for f in self.told("unit-started")], ["attempt 1", "attempt 2"])

    async def test_a_start_that_was_told_and_not_reported_is_told_once(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        await self.running(t)
        await self.kill_agent()
        unit = self.unit(t)
        unit["actors"][0].update(attempt=0, startedAt="")
        self.nats.put(f"unit.s.{t['unit']}", unit)
        await self.new_agent()
        await self.until(lambda: self.unit(t)["actors"][0]["attempt"] == 1)
        await self.again()
        self.assertEqual(len(self.told("unit-started")), 1)


if __name__ == "__main__":
    unittest.main()
