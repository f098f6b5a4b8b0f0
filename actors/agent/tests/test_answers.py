"""Actors that Ray does not make, and actors that answer nothing, during a start; with Ray and
NATS in this process."""

from __future__ import annotations

import asyncio
from unittest import mock

from dynctl_agent.job import answers, silent

from .cluster import worker
from .fakecase import FakeCase

GENERATION = "0a0a0a0a"


class Unmade(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        for name, value in (("MAKING", 0.4), ("LOOK", 0.02), ("SILENCE", 0.2), ("PRESENT", 0.2)):
            patch = mock.patch.object(answers, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        await self.new_agent()

    def lost(self, index=0):
        """A unit whose actor Ray was asked for and does not make."""
        t = worker("s", GENERATION, index, ["x"])
        self.cluster.loses.add(t["actors"][0]["name"])
        self.start(t)
        return t

    async def exits(self, t, times=1):
        """How the unit ended, once that was told so often."""
        return (await self.until(lambda: (f := self.told("unit-exited"))[times - 1:] and f))[times - 1]

    async def test_it_is_given_up_and_made_by_the_next_start(self):
        t = self.lost()
        told = await self.exits(t)
        self.assertEqual(told["reason"], "ActorDied")
        self.assertIn("Ray did not make it within 0 s", str(told))
        await self.until(lambda: self.state(t) == "Exited")
        self.assertEqual(self.unit(t)["placementGroup"]["state"], "CREATED", "its room is kept")
        self.cluster.loses.clear()
        self.start(t, 2)
        await self.until(lambda: self.state(t) == "Running")
        self.assertEqual(len(self.actor(t).started), 1)

    async def test_each_time_it_is_waited_for_longer(self):
        t, loop = self.lost(), asyncio.get_running_loop()
        await self.exits(t)
        begun = loop.time()
        self.start(t, 2)
        await self.exits(t, 2)
        self.assertGreater(loop.time() - begun, 0.75)

    async def test_it_waits_while_others_come_up_on_its_node(self):
        with mock.patch.object(answers, "MAKING", 1.5):  # many times what one takes to come up
            t = self.lost()
            for index in range(1, 5):
                await asyncio.sleep(0.5)
                await self.running(worker("s", GENERATION, index, ["x"]))
            self.assertEqual((self.state(t), self.told("unit-exited")), ("Placing", []))
            await self.exits(t)

    async def test_it_waits_for_its_group(self):
        self.cluster.full = True
        t = worker("s", GENERATION, 0, ["x"])
        self.start(t)
        await self.until(lambda: t["actors"][0]["name"] in self.cluster.handles)
        await asyncio.sleep(0.6)
        self.assertEqual((self.state(t), self.told("unit-exited")), ("Placing", []))
        self.cluster.place()
        await self.until(lambda: self.state(t) == "Running")

    async def test_a_runtime_environment_takes_longer(self):
        t = worker("s", GENERATION, 0, ["x"])
        t["actors"][0]["runtimeEnv"] = {"pip": ["x"]}
        self.cluster.loses.add(t["actors"][0]["name"])
        self.start(t)
        await asyncio.sleep(0.8)
        self.assertEqual((self.state(t), self.told("unit-exited")), ("Placing", []))

    async def test_one_that_hangs_before_its_next_attempt(self):
        t, other = worker("s", GENERATION, 0, ["x"]), worker("s", GENERATION, 1, ["x"])
        for each in (t, other):
            each["actors"][0]["ports"] = [{"name": "system", "seed": 20000}]
        actor = await self.running(t)
        actor.started[0].end(1)
        await self.exits(t)
        handle = self.cluster.handles[t["actors"][0]["name"]]
        handle.gate.clear()
        self.start(t, 2)
        self.start(other)
        told = await self.exits(t, 2)
        self.assertIn("its actor answered nothing", str(told))
        await self.until(lambda: self.state(other) == "Running")
        self.start(t, 3)
        await self.until(lambda: self.state(t) == "Running")
        self.assertIsNot(self.actor(t), actor)

    async def test_one_that_hangs_while_its_process_serves_is_left_alone(self):
        t, other = worker("s", GENERATION, 0, ["x"]), worker("s", GENERATION, 1, ["x"])
        for each in (t, other):
            each["actors"][0]["ports"] = [{"name": "system", "seed": 20000}]
        actor = await self.running(t)
        for needs in ([], ["infra/Dynamo_ETCD"]):  # what is next is its end, or what is to come
            handle = self.cluster.handles[t["actors"][0]["name"]]
            handle.gate.clear()
            t["actors"][0]["needs"] = needs
            self.start(t, 2)
            await self.until(lambda: self.unit(t).get("reason") == "ActorSilent")
            await asyncio.sleep(1.0)
            self.assertEqual((self.state(t), self.told("unit-exited")), ("Running", []))
            self.assertFalse(actor.started[0].exited.done() or handle.dead.is_set())
            self.assertIn("may serve", self.unit(t)["message"])
            handle.gate.set()
            await self.until(lambda: not self.unit(t).get("reason"))
        await self.running(other)
        self.assertFalse(actor.started[0].exited.done(), "nothing was left for it to do once it wakes")
        t["actors"][0]["needs"] = []
        self.start(t, 2)
        await self.until(lambda: len(actor.started) == 2 and self.state(t) == "Running")

    async def test_one_that_is_slow_is_waited_for(self):
        t = worker("s", GENERATION, 0, ["x"])
        actor = await self.running(t)
        actor.started[0].end(1)
        await self.exits(t)
        await actor._lock.acquire()  # as while a process ends
        self.start(t, 2)
        await asyncio.sleep(0.8)
        self.assertEqual(len(self.told("unit-exited")), 1)
        actor._lock.release()
        await self.until(lambda: self.state(t) == "Running")
        self.assertIs(self.actor(t), actor)


class UnmadeForTheSuccessor(FakeCase):
    """The agent that waited for an actor is gone."""

    async def taken_over(self):
        """A unit whose actor does not answer the agent that is in charge."""
        t = worker("s", GENERATION, 0, ["x"])
        if self.lost:
            self.cluster.loses.add(t["actors"][0]["name"])
        await self.new_agent()
        self.start(t)
        await self.until(lambda: self.state(t) == ("Placing" if self.lost else "Running"))
        handle = await self.until(lambda: self.cluster.handles.get(t["actors"][0]["name"]))
        handle.gate.clear()
        await self.kill_agent()
        for module, name, value in ((answers, "MAKING_WITH_ENV", 1.0), (silent, "LOOK", 0.02)):
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        await self.new_agent()
        return t

    async def test_it_is_given_up(self):
        self.lost = True
        t = await self.taken_over()
        await self.until(lambda: self.state(t) == "Exited")
        self.cluster.loses.clear()
        self.start(t, 2)
        await self.until(lambda: self.state(t) == "Running")

    async def test_one_that_runs_and_hangs_is_left_alone(self):
        self.lost = False
        t = await self.taken_over()
        await asyncio.sleep(2.0)
        self.assertEqual((self.state(t), self.told("unit-exited")), ("Starting", []))
        self.assertFalse(self.actor(t).started[0].exited.done())

    async def test_nothing_is_ended_on_a_guess(self):
        self.lost = True
        t = await self.taken_over()
        self.cluster.tells = False
        await asyncio.sleep(2.0)
        self.assertEqual((self.state(t), self.told("unit-exited")), ("Starting", []))
