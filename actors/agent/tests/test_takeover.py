"""What an agent makes of what its predecessor has left, with Ray and NATS in this process."""

from __future__ import annotations

import asyncio
import signal
import unittest
from unittest import mock

from dynctl_agent.job import starting

from .cluster import two_ranks, worker
from .fakecase import FakeCase
from .fakes import HEAD

GENERATION = "0a0a0a0a"


class Since(FakeCase):
    async def test_a_unit_is_as_old_as_it_was_to_the_agent_before(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        before = self.unit(t)["changedAt"]
        await self.kill_agent()
        await self.new_agent()
        await self.until(lambda: self.unit(t)["incarnation"] == 2)
        self.assertEqual((self.state(t), self.unit(t)["changedAt"]), ("Running", before))
        await self.kill_agent()
        actor.started[0].end(0)
        await self.new_agent()
        await self.until(lambda: self.state(t) == "Exited")
        self.assertGreater(self.unit(t)["changedAt"], before)


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


class Silent(FakeCase):
    """Actors of ours that do not answer while the successor looks."""

    def foreign(self):
        """What was ever reported as somebody else's."""
        return [v for k, v in self.nats.history if k.startswith("unit.") and v and not v["storeId"]]

    def handle(self, t, index=0):
        return self.cluster.handles[t["actors"][index]["name"]]

    async def looked_at(self, t):
        """Until the last agent has looked at Ray a few times."""
        incarnation = self.nats.get("agent")["incarnation"]
        await self.until(lambda: self.unit(t).get("incarnation") == incarnation)
        await asyncio.sleep(0.5)

    async def test_an_actor_that_is_slow(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        actor._state.change(lease=77)
        before = await self.until(lambda: (a := self.unit(t)["actors"][0])["lease"] and a)
        self.handle(t).gate.clear()
        await self.kill_agent()
        await self.new_agent()
        await self.looked_at(t)
        after = self.unit(t)["actors"][0]
        for field in ("attempt", "childPid", "lease", "digest", "startedAt", "node", "ip"):
            self.assertEqual(after[field], before[field], field)
        self.assertEqual((self.state(t), self.foreign()), ("Starting", []))
        self.handle(t).gate.set()
        await self.until(lambda: self.state(t) == "Running")
        self.assertEqual(len(actor.started), 1)
        actor.started[0].end(1)
        await self.until(lambda: self.state(t) == "Exited")

    async def test_an_actor_that_waits_for_nodes(self):
        self.cluster.full = True
        t = worker("s", GENERATION, 0, ["x"])
        t["placementTimeout"] = 0
        await self.new_agent()
        self.start(t)
        await self.until(lambda: t["actors"][0]["name"] in self.cluster.handles and self.state(t) == "Placing")
        await self.kill_agent()
        await self.new_agent()
        await self.looked_at(t)
        self.assertEqual((self.state(t), self.foreign()), ("Placing", []))
        made = self.handle(t)
        with mock.patch.object(starting, "FOUND_PATIENCE", 0.1):
            self.start(t)
            await self.until(lambda: self.nats.messages[-1].acked)
            await asyncio.sleep(0.5)
            self.cluster.place()
            await self.until(lambda: self.state(t) == "Running")
        self.assertIs(self.handle(t), made, "it was waited for")
        self.assertEqual((len(self.actor(t).started), self.output.getvalue().count("taken by others")), (1, 0))

    async def test_a_start_goes_on_once_the_nodes_have_come(self):
        self.cluster.full = True
        t = worker("s", GENERATION, 0, ["x"])
        t["placementTimeout"] = 0
        await self.new_agent()
        self.start(t)
        await self.until(lambda: t["actors"][0]["name"] in self.cluster.handles)
        await self.kill_agent()
        await self.new_agent()
        await self.looked_at(t)
        self.cluster.place()
        await self.until(lambda: self.state(t) == "Running")

    async def test_a_group_that_is_not_placed_in_time(self):
        self.cluster.full = True
        t = worker("s", GENERATION, 0, ["x"])
        t["placementTimeout"] = 1.0
        await self.new_agent()
        self.start(t)
        await self.until(lambda: t["actors"][0]["name"] in self.cluster.handles)
        await self.kill_agent()
        await self.new_agent()
        await self.until(lambda: self.state(t) == "Exited")
        self.assertEqual((self.unit(t)["reason"], self.unit(t)["attempt"]), ("PlacementTimeout", 1))
        self.assertEqual(await self.cluster.actor_names(), [])

    async def test_nothing_is_known_of_it(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        self.handle(t).gate.clear()
        await self.kill_agent()
        self.nats.recreated()
        await self.new_agent()
        await self.looked_at(t)
        self.assertEqual((self.unit(t)["storeId"], self.state(t)), ("", "Starting"))
        self.assertTrue(all(v.get("jobAlive") for v in self.foreign()), "it is nobody's leftover")
        self.handle(t).gate.set()
        await self.until(lambda: self.state(t) == "Running" and self.unit(t)["storeId"])
        self.assertEqual(len(actor.started), 1)

    async def test_one_of_two(self):
        t = two_ranks(worker("s", GENERATION, 0, ["x"]))
        for index, bucket in ((0, True), (1, True), (1, False)):
            with self.subTest(index=index, bucket=bucket):
                await self.new_agent()
                await self.running(t)
                self.handle(t, index).gate.clear()
                await self.kill_agent()
                if not bucket:
                    self.nats.recreated()
                await self.new_agent()
                await self.looked_at(t)
                self.assertEqual((self.state(t), self.foreign()), ("Starting", []))
                self.handle(t, index).gate.set()
                await self.until(lambda: self.state(t) == "Running")
                self.assertEqual([len(self.actor(t, n).started) for n in (0, 1)], [1, 1])
                await self.kill_agent()

    async def test_what_another_was_told_of_it_is_old(self):
        """An actor that is recreated counts from 1 again where its last attempt was not
        reported; the others were told of a higher one, before its death."""
        t = two_ranks(worker("s", GENERATION, 0, ["x"]))
        first, second = (a["name"] for a in t["actors"])
        await self.new_agent()
        actor = await self.running(t)
        actor._goals = {first: {"number": 1, "failures": 0}, second: {"number": 5, "failures": 4}}
        await self.kill_agent()
        await self.new_agent()
        other = worker("s", GENERATION, 1, ["y"])
        await self.running(other)
        self.assertEqual(self.state(t), "Running")
        self.assertEqual([p.signals for p in self.actor(t, 1).started], [[]], "it serves, and goes on")

    async def test_it_dies_without_a_word(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        await self.running(t)
        self.handle(t).gate.clear()
        await self.kill_agent()
        await self.new_agent()
        await self.looked_at(t)
        self.handle(t).die()
        await self.until(lambda: self.unit(t)["actors"][0]["state"] == "Dead")
        self.start(t, 2)
        await self.until(lambda: self.state(t) == "Running")

    async def test_a_stop_ends_its_process_gracefully(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        actor = await self.running(t)
        self.handle(t).gate.clear()
        await self.kill_agent()
        await self.new_agent()
        await self.looked_at(t)
        self.stop(t, 60)
        await self.until(lambda: self.state(t) == "Stopping")
        self.handle(t).gate.set()
        await self.until(lambda: actor.started[0].signals == [signal.SIGTERM])
        actor.started[0].end(0)
        await self.until(lambda: not self.state(t))


class Moved(FakeCase):
    async def test_a_port_is_kept_on_the_machine_that_it_was_found_on(self):
        for name, address, kept in (("another machine", "10.0.0.2", False), ("another node of it", "127.0.0.1", True)):
            with self.subTest(name):
                rule = {"name": "etcd", "seed": 12379, "sticky": True}  # below what the kernel gives to connections
                t = worker(name[-2:], GENERATION, 0, ["x"], ports=[rule])
                await self.new_agent()
                await self.running(t)
                port = self.unit(t)["actors"][0]["ports"]["etcd"]
                self.actor(t)._state.change(ports={"etcd": port + 7})
                await self.until(lambda: self.unit(t)["actors"][0]["ports"] == {"etcd": port + 7})
                self.cluster.node, self.cluster.ips["b" * 56] = "b" * 56, address
                self.cluster.by_name[t["placementGroup"]["name"]].state = "REMOVED"
                self.cluster.handles[t["actors"][0]["name"]].die()
                await self.until(lambda: self.state(t) == "Exited")
                self.start(t, 2)
                await self.until(lambda: self.state(t) == "Running")
                actor = self.unit(t)["actors"][0]
                self.assertEqual((actor["node"], actor["ports"]["etcd"]), ("b" * 56, port + 7 if kept else port))
                await self.kill_agent()
                self.cluster.node = HEAD


if __name__ == "__main__":
    unittest.main()
