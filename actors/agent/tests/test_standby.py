"""An agent that stands by: whom it watches, which orders it carries out."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import types
import unittest
from typing import Any
from unittest import mock

from dynctl_agent.job import rehearsal, standby
from dynctl_agent.job.charge import Charge, Superseded
from dynctl_agent.job.config import Config
from dynctl_agent.job.rehearsal import Rehearsal
from dynctl_agent.job.standby import Answer, Order, Standby

from .fakecase import hushed
from .fakenats import FakeBus, Nats
from .fakes import IP, SESSION

JOB = "dynctl-agent-1"


class Store(FakeBus):
    """A bus that tells what is written, and whose answer to a write may be lost."""

    def __init__(self, nats: Nats) -> None:
        super().__init__(nats)
        self.heard: Any = None
        self.lost = 0

    async def follow(self, key: str, heard: Any) -> None:
        self.heard = heard

    async def write(self, key: str, value: dict[str, Any], revision: int) -> int:
        revision = await super().write(key, value, revision)
        if self.lost:
            self.lost -= 1
            raise asyncio.TimeoutError
        return revision


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        hushed(self)
        self.nats = Nats()
        self.bus, self.subjects = Store(self.nats), []
        config = Config(nats_url="", store_id="s", ray_namespace="n", job=JOB, standby=True)

        async def answer(subject: str, _: Any) -> None:
            self.subjects.append(subject)

        self.ray = mock.AsyncMock()
        self.ray.actor_names.return_value = ["dynamo_s_01234567_a", "of_another_program"]
        world: Any = types.SimpleNamespace(config=config, bus=self.bus, answer=answer, ray=self.ray)
        self.charge = Charge(config, self.bus, SESSION, IP)  # type: ignore[arg-type]
        self.standby = Standby(world, self.charge, SESSION, IP)
        self.waiting = asyncio.ensure_future(self.standby.wait())
        self.addCleanup(self.waiting.cancel)

    def agent(self, incarnation: int, **more: Any) -> subprocess.Popen:
        """A process, and a heartbeat that says it is the agent in charge."""
        process = subprocess.Popen(["sleep", "3600"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        value = {"incarnation": incarnation, "epoch": 3, "session": SESSION, "nodeIp": IP, "pid": process.pid, **more}
        self.nats.put("agent", value, None)  # type: ignore[arg-type]
        if self.bus.heard is not None:
            self.bus.heard(json.loads(json.dumps(value)))
        return process

    async def watched(self, incarnation: int) -> None:
        """Until the process of that incarnation is watched."""
        while not (await self.order(incarnation, within=0.01)).get("watches"):
            await asyncio.sleep(0.01)

    async def order(self, incarnation: int, now: bool = False, within: float = 5.0, epoch: int = 3, revision: int = 0) -> Answer:
        return await self.standby.carry_out(Order(incarnation=incarnation, revision=revision, epoch=epoch, now=now, within=within))

    def key(self) -> tuple[int, int]:
        """Who is in charge: incarnation and pid."""
        value = self.nats.get("agent") or {}
        return value.get("incarnation", 0), value.get("pid", 0)


class Watching(Case):
    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        patch = mock.patch.object(standby, "_is_agent", lambda pid: pid != os.getpid())
        patch.start()
        self.addCleanup(patch.stop)

    async def test_it_follows_the_end_of_the_process_at_once(self):
        process = self.agent(7)
        await self.watched(7)
        order = asyncio.ensure_future(self.order(7))
        await asyncio.sleep(0.05)
        self.assertFalse(order.done())
        process.kill()
        self.assertEqual(await order, {"incarnation": 8})
        await self.waiting
        self.assertEqual(self.key(), (8, os.getpid()))
        self.assertEqual(self.subjects, [f"{standby.SUBJECT}.{JOB}"])
        self.assertEqual(await self.order(8, now=True), {"incarnation": 8}, "whoever asks again is told again")

    async def test_without_an_order_it_does_nothing(self):
        process = self.agent(7)
        await self.watched(7)
        process.kill()
        await asyncio.sleep(0.05)
        self.assertEqual(self.key()[0], 7)
        self.assertEqual(await self.order(7), {"incarnation": 8}, "the end was seen, and counts still")

    async def test_an_order_runs_out(self):
        self.agent(7)
        await self.watched(7)
        self.assertEqual(await self.order(7, within=0.05), {"watches": True})
        self.assertEqual(await self.order(6, within=0.05), {"watches": False})
        self.assertFalse(self.waiting.done())

    async def test_the_process_of_another_node_is_not_watched(self):
        process = self.agent(7, nodeIp="10.0.0.9")
        process.kill()
        process.wait()
        self.assertEqual(await self.order(7, within=0.1), {"watches": False})

    async def test_an_agent_that_counts_on_is_watched_on(self):
        process = self.agent(7)
        await self.watched(7)
        value = {**(self.nats.get("agent") or {}), "incarnation": 12}
        self.nats.put("agent", value, None)  # type: ignore[arg-type]
        self.bus.heard(value)
        process.kill()
        self.assertEqual((await self.order(7, within=0.1)).get("incarnation"), None)
        self.assertEqual(await self.order(12), {"incarnation": 13})

    async def test_the_fleet_moves_to_another_ray_session(self):
        self.agent(7)
        await self.watched(7)
        self.agent(8, session="session_2")
        with self.assertRaises(Superseded):
            await self.waiting


class Ordered(Case):
    async def test_it_takes_the_place_of_the_one_that_is_named(self):
        self.agent(7)
        refused = await self.order(6, now=True)
        self.assertIn("incarnation 7 is in charge", refused["refused"])
        self.assertEqual(await self.order(7, now=True), {"incarnation": 8})

    async def test_nobody_was_ever_in_charge(self):
        self.assertEqual(await self.order(0, now=True), {"incarnation": 1})

    async def test_a_reconciler_that_leads_no_more(self):
        self.agent(7, epoch=5)
        self.assertIn("epoch 4", (await self.order(7, now=True, epoch=4))["refused"])
        self.assertEqual(self.key()[0], 7)

    async def test_two_orders_at_once(self):
        self.agent(7)
        answers = await asyncio.gather(*(self.order(7, now=True) for _ in range(3)))
        self.assertEqual(answers, [{"incarnation": 8}] * 3)

    async def test_the_answer_of_the_store_is_lost(self):
        self.agent(7)
        self.bus.lost = 1
        self.assertEqual(await self.order(7, now=True), {"incarnation": 8})
        self.assertEqual(self.key(), (8, os.getpid()))

    async def test_a_process_that_is_no_agent_is_not_watched(self):
        process = self.agent(7)
        await asyncio.sleep(0.05)
        process.kill()
        self.assertEqual(await self.order(7, within=0.1), {"watches": False})

    async def test_it_says_where_it_is(self):
        order = {"incarnation": 0, "epoch": 3, "now": True, "within": 1}
        answer = await self.standby._answer(json.dumps(order).encode())
        memory = answer.pop("memory")
        self.assertEqual(answer, {"incarnation": 1, "nodeIp": IP, "pid": os.getpid()})
        self.assertTrue(1 << 20 < memory < 1 << 40, memory)

    async def test_what_is_no_order(self):
        for data in (b"", b"{}", b"[]", b'{"incarnation": "x", "epoch": 1, "now": true, "within": 1}'):
            self.assertIn("no order", (await self.standby._answer(data))["refused"])
        self.assertFalse(self.waiting.done())


class Rehearsing(Case):
    async def asyncSetUp(self) -> None:
        patch = mock.patch.object(rehearsal, "PAUSE", 0.01)
        patch.start()
        self.addCleanup(patch.stop)
        await super().asyncSetUp()

    def asked(self) -> list[str]:
        """The actors whose handles were asked for, in order."""
        return [call.args[0] for call in self.ray.find_actor.call_args_list]

    async def rehearsed(self, times: int) -> None:
        """Until that many rehearsals have begun, and none more for a while."""
        while self.ray.warm_up.call_count < times:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        self.assertEqual(self.ray.warm_up.call_count, times)

    async def test_it_reads_again_when_units_have_changed(self):
        await self.rehearsed(1)
        self.assertEqual(self.asked(), ["dynamo_s_01234567_a"])
        self.ray.actor_names.return_value = ["dynamo_s_01234567_a", "dynamo_s_01234567_b"]
        self.agent(7)
        await self.rehearsed(1)
        for key in ("unit.s.a", "unit.s.b"):
            self.nats.put(key, {})
        await self.rehearsed(2)
        self.assertEqual(self.asked(), ["dynamo_s_01234567_a", "dynamo_s_01234567_b"])

    async def test_what_fails_is_tried_again(self):
        await self.rehearsed(1)
        self.ray.find_actor.side_effect = [RuntimeError("the GCS is away"), None]
        self.ray.actor_names.return_value = ["dynamo_s_01234567_b"]
        self.nats.put("unit.s.b", {})
        await self.rehearsed(3)
        self.assertEqual(self.asked()[1:], ["dynamo_s_01234567_b"] * 2)

    async def test_it_ends_with_the_wait(self):
        await self.rehearsed(1)
        await self.order(0, now=True)
        await self.waiting
        self.nats.put("unit.s.a", {})
        await self.rehearsed(1)

    async def test_it_is_in_the_way_of_no_order(self):
        self.ray.warm_up.side_effect = lambda: asyncio.Event().wait()
        self.assertEqual(await self.order(0, now=True), {"incarnation": 1})

    async def test_no_actor_is_called(self):
        handle = mock.Mock(side_effect=AssertionError)
        self.ray.find_actor.return_value = handle
        await Rehearsal(types.SimpleNamespace(bus=self.bus, ray=self.ray)).once()  # type: ignore[arg-type]
        self.assertEqual(handle.mock_calls, [])


class Recognized(unittest.TestCase):
    def test_an_agent_by_its_command_line(self):
        sleep = [sys.executable, "-c", "import time; time.sleep(3600)"]
        with subprocess.Popen([*sleep, "-m", "dynctl_agent"]) as other, subprocess.Popen(sleep) as none:
            self.assertEqual([standby._is_agent(p) for p in (other.pid, none.pid, os.getpid())], [True, False, False])
            other.kill()
            none.kill()
        self.assertFalse(standby._is_agent(other.pid))
