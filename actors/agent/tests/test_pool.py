"""The worker processes that are kept ready on each node."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
import types
import unittest
from unittest import mock

from dynctl_agent.actor import procfs
from dynctl_agent.job import warm
from dynctl_agent.job.raylet import Worker

from .cluster import STORE, worker
from .fakecase import FakeCase
from .fakenats import FakeBus
from .fakes import HEAD
from .realcase import GENERATION, Case
from .test_warm import idle

OTHER = "b" * 56


class Processes:
    """The worker processes of nodes: those that were asked for come after a while, and an
    actor takes one that waits."""

    def __init__(self, cluster):
        self.cluster, self.here, self.pids = cluster, {HEAD: [], OTHER: []}, itertools.count(100)
        self.asked, self.ended, self.looks, self.late, self.broken = [], [], 0, 0.0, {}
        self._create = cluster.create_actor
        cluster.workers, cluster.prestart, cluster.end, cluster.create_actor = self.workers, self.prestart, self.end, self.create

    def fresh(self, node=HEAD):
        return [w for w in self.here[node] if w.fresh]

    async def workers(self, node):
        self.looks += 1
        if node in self.broken:
            raise self.broken[node]
        return list(self.here[node])

    async def prestart(self, node, count, keep):
        self.asked.append((node, count))
        loop = asyncio.get_running_loop()
        for _ in range(count):
            loop.call_later(self.late, self.here[node].append, Worker(next(self.pids), "", True))

    async def end(self, process):
        self.ended.append(process.pid)
        for processes in self.here.values():
            processes[:] = [w for w in processes if w.pid != process.pid]
        return True

    def take(self, node):
        """An actor is made in one."""
        waiting = self.fresh(node)
        if waiting:
            self.here[node][self.here[node].index(waiting[0])] = waiting[0]._replace(fresh=False)

    async def create(self, template, group, header):
        self.take(group.node)
        return await self._create(template, group, header)


class Unanswered(Exception):
    """An error as gRPC raises it."""

    def code(self):
        return types.SimpleNamespace(name="UNAVAILABLE")

    def details(self):
        return "failed to connect:\n\trefused"


class PoolCase(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.handlers = {}

        async def listen(_, subject, respond):
            self.handlers[subject] = respond

        patches = [mock.patch.object(FakeBus, "listen", listen)]
        patches += [mock.patch.object(warm, name, value) for name, value in (("EVERY", 0.3), ("COMING", 0.6), ("SOON", 0.1))]
        for patch in patches:
            patch.start()
            self.addCleanup(patch.stop)
        self.processes = Processes(self.cluster)
        self.cluster.ips[OTHER] = "127.0.0.2"
        await self.new_agent()

    async def order(self, nodes, version="v1", **other):
        """An order to the agent that came last; its answer."""
        beat = self.nats.get("agent")
        order = {
            "storeId": STORE, "epoch": 1, "incarnation": beat["incarnation"], "version": version, "nodes": nodes, **other,
        }
        answer = asyncio.get_running_loop().create_future()

        async def respond(data):
            self.loop.call_soon_threadsafe(answer.set_result, json.loads(data))

        self.loop = asyncio.get_running_loop()
        message = types.SimpleNamespace(data=json.dumps(order).encode(), respond=respond)
        agent = self.agents[-1]
        asyncio.run_coroutine_threadsafe(self.handlers[warm.SUBJECT](message), agent._loop)
        return await asyncio.wait_for(answer, 5)

    def beat(self):
        """What the heartbeat says of the pool."""
        return self.nats.get("agent")["warm"]


class Pools(PoolCase):
    async def test_nothing_is_asked_while_nobody_wants_any(self):
        await self.running(worker("s", GENERATION, 0, ["x"]))
        await asyncio.sleep(0.7)
        self.assertEqual((self.processes.looks, self.processes.asked), (0, []))
        self.assertEqual(self.beat(), {"version": "", "wanted": 0, "ready": 0})

    async def test_as_many_as_ordered_on_each_node(self):
        self.assertEqual(await self.order({HEAD: 2, OTHER: 1}, "v1"), {"version": "v1", "refused": ""})
        await self.until(lambda: self.beat() == {"version": "v1", "wanted": 3, "ready": 3})
        self.assertEqual(sorted(self.processes.asked), [(HEAD, 2), (OTHER, 1)])
        await self.order({HEAD: 2, OTHER: 1}, "v1")  # once more changes nothing
        looks = self.processes.looks
        await asyncio.sleep(0.7)
        self.assertEqual(len(self.processes.asked), 2)
        self.assertLessEqual(self.processes.looks - looks, 6)

    async def test_one_that_a_start_uses_comes_again_at_once(self):
        with mock.patch.object(warm, "EVERY", 60.0):
            await self.order({HEAD: 1}, "v1")
            await self.until(lambda: self.processes.fresh())
            begun = time.monotonic()
            for index in range(2):
                await self.running(worker("s", GENERATION, index, ["x"]))
                await self.until(lambda: self.processes.fresh())
            self.assertLess(time.monotonic() - begun, 5)

    async def test_one_that_died_comes_again(self):
        await self.order({HEAD: 1}, "v1")
        await self.until(lambda: self.processes.fresh())
        self.processes.here[HEAD].clear()
        await self.until(lambda: self.processes.fresh())

    async def test_those_on_their_way_are_not_asked_for_twice(self):
        self.processes.late = 0.5
        await self.order({HEAD: 2}, "v1")
        await self.until(lambda: len(self.processes.fresh()) == 2)
        await asyncio.sleep(0.5)
        self.assertEqual(self.processes.asked, [(HEAD, 2)])

    async def test_fewer_and_none(self):
        await self.order({HEAD: 3, OTHER: 1}, "v1")
        await self.until(lambda: self.beat()["ready"] == 4)
        await self.order({HEAD: 1}, "v2")
        await self.until(lambda: len(self.processes.fresh()) == 1 and not self.processes.fresh(OTHER))
        await self.order({}, "")
        await self.until(lambda: not self.processes.fresh())
        await asyncio.sleep(0.1)
        looks = self.processes.looks
        await asyncio.sleep(0.7)
        self.assertEqual(self.processes.looks, looks, "nothing is looked at any more")
        self.assertEqual(len(self.processes.asked), 2)

    async def test_those_that_come_when_nobody_wants_them_any_more_go(self):
        for left in (0, 1):
            self.processes.late = 0.3
            await self.order({HEAD: 3}, f"three, then {left}")
            await self.until(lambda: len(self.processes.asked) == 1 + left)
            await self.order({HEAD: left} if left else {}, f"{left}")
            await asyncio.sleep(1.0)
            self.assertEqual(len(self.processes.fresh()), left)

    async def test_more_are_wanted_while_some_end(self):
        end = self.processes.end

        async def slowly(process):
            await asyncio.sleep(0.2)
            return await end(process)

        self.cluster.end = slowly
        await self.order({HEAD: 4}, "four")
        await self.until(lambda: self.beat()["ready"] == 4)
        await self.order({HEAD: 1}, "one")
        await asyncio.sleep(0.1)
        await self.order({HEAD: 4}, "four again")
        await asyncio.sleep(1.0)
        self.assertEqual(len(self.processes.ended), 1, "the one that was under way")
        self.assertEqual(len(self.processes.fresh()), 4)
        await self.processes.prestart(HEAD, 1, 0)  # by somebody else
        await asyncio.sleep(1.0)
        self.assertEqual(len(self.processes.ended), 1)
        await self.order({}, "")
        await asyncio.sleep(1.5)
        self.assertEqual(len(self.processes.fresh()), 1, "what nobody has ordered stays")

    async def test_one_that_was_ended_is_not_waited_for(self):
        with mock.patch.object(warm, "COMING", 60.0), mock.patch.object(warm, "EVERY", 60.0):
            await self.order({HEAD: 2}, "v1")
            await self.until(lambda: self.beat()["ready"] == 2)
            await self.order({HEAD: 1}, "v2")
            await self.until(lambda: len(self.processes.fresh()) == 1)
            await self.running(worker("s", GENERATION, 0, ["x"]))
            await self.until(lambda: self.processes.fresh(), 5)

    async def test_none_is_ended_while_something_starts(self):
        await self.order({HEAD: 1}, "v1")
        await self.until(lambda: self.processes.fresh())
        t = worker("s", GENERATION, 0, ["x"])
        self.cluster.loses.add(t["actors"][0]["name"])
        self.start(t)
        await self.until(lambda: self.state(t) == "Placing")
        self.processes.here[HEAD].append(Worker(1, "", True))
        await self.order({}, "")
        await asyncio.sleep(0.3)
        self.assertEqual(self.processes.ended, [])
        self.cluster.handles[t["actors"][0]["name"]].gate.set()
        await self.until(lambda: self.processes.ended)

    async def test_orders_that_are_none_of_ours(self):
        for other in ({"storeId": "x"}, {"incarnation": 99}, {"epoch": 0}, {"epoch": 1 << 60}, {"nodes": {HEAD: -1}}, {"nodes": {HEAD: 1 << 20}}, {"nodes": 3}):
            answer = await self.order(**{"nodes": {HEAD: 1}, **other})
            self.assertTrue(answer["refused"], other)
            self.assertEqual(answer["version"], "")
        await asyncio.sleep(0.1)
        self.assertEqual((self.processes.looks, self.beat()["version"]), (0, ""))

    async def test_a_ray_that_cannot_do_so(self):
        self.processes.broken = {HEAD: AttributeError("no such call")}
        await self.order({HEAD: 1}, "v1")
        await self.until(lambda: "no such call" in self.beat().get("trouble", ""))
        await self.running(worker("s", GENERATION, 0, ["x"]))
        self.processes.broken = {}
        await self.until(lambda: self.beat() == {"version": "v1", "wanted": 1, "ready": 1})
        self.assertEqual(self.output.getvalue().count("are not kept ready"), 1)

    async def test_what_ray_says_is_told_in_a_line(self):
        self.processes.broken = {HEAD: Unanswered()}
        await self.order({HEAD: 1}, "v1")
        await self.until(lambda: "trouble" in self.beat())
        self.assertEqual(self.beat()["trouble"], "UNAVAILABLE: failed to connect: refused")

    async def test_a_node_that_is_not_wanted_any_more_is_no_trouble(self):
        with mock.patch.object(warm, "EVERY", 60.0):
            await self.order({HEAD: 1, OTHER: 1}, "v1")
            await self.until(lambda: self.beat()["ready"] == 2)
            self.processes.broken = {OTHER: Unanswered()}
            await self.order({HEAD: 1, OTHER: 2}, "v2")
            await self.until(lambda: "trouble" in self.beat())
            await self.order({HEAD: 1}, "v3")
            await self.until(lambda: self.beat() == {"version": "v3", "wanted": 1, "ready": 1})

    async def test_a_replica_that_waits_finds_one_in_the_pool(self):
        await self.order({HEAD: 1}, "v1")
        await self.until(lambda: self.processes.fresh())
        t = worker("s", GENERATION, 0, ["x"])
        attempts = {a["name"]: {"number": 1, "failures": 0} for a in t["actors"]}
        self.command("start", t, {"template": t, "placement": {"number": 1, "failures": 0}, "attempts": attempts, "ahead": True})
        await self.until(lambda: self.state(t) == "Running" and self.processes.fresh())
        await asyncio.sleep(0.1)
        self.assertEqual(self.processes.asked, [(HEAD, 1)] * 2, "the pool's alone")


class InRay(Case):
    async def order(self, nodes, version):
        order = {
            "storeId": STORE, "epoch": self.r.agent["epoch"] or 1, "incarnation": self.r.agent["incarnation"], "version": version,
            "nodes": nodes,
        }
        reply = await self.r.nc.request(warm.SUBJECT, json.dumps(order).encode(), timeout=5)
        self.assertEqual(json.loads(reply.data), {"version": version, "refused": ""})

    async def kept(self, count):
        """The processes of a pool, once it has so many."""
        return await self.r.until(lambda: self.r.agent["warm"]["ready"] == count and idle(self.raylet), 60)

    async def test_a_start_takes_one_and_another_comes(self):
        first = self.worker(["sleep", "600"])
        await self.r.start(first)
        actor = await self.r.running(first)
        self.raylet = procfs.stat(actor["pid"]).ppid
        for pid in idle(self.raylet):  # which Ray started beforehand: any of them would do
            os.kill(pid, signal.SIGKILL)
        await self.eventually(lambda: not idle(self.raylet))
        await self.order({actor["node"]: 2}, "two")
        before = await self.kept(2)
        t = self.worker(["sleep", "600"], 1)
        await self.r.start(t)
        self.assertIn((await self.r.running(t))["pid"], before)
        await self.r.until(lambda: len(idle(self.raylet) - before) >= 1, 60)
        await self.kept(2)
        await self.order({actor["node"]: 1}, "one")
        await self.eventually(lambda: len(idle(self.raylet)) == 1)
        await self.order({}, "")
        await self.eventually(lambda: not idle(self.raylet))
        self.assertEqual(self.r.agent["warm"], {"version": "", "wanted": 0, "ready": 0})
        self.assertEqual([self.r.state(first), self.r.state(t)], ["Running", "Running"])


if __name__ == "__main__":
    unittest.main()
