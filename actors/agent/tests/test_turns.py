"""Who takes charge where several agents want to: in which order they come, whatever is late,
lost or void by then."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import random
import types
import unittest
from typing import Any
from unittest import mock

from dynctl_agent.job import agent as agent_module
from dynctl_agent.job import retry
from dynctl_agent.job.agent import Agent
from dynctl_agent.job.bus import Conflict
from dynctl_agent.job.charge import Charge, Superseded
from dynctl_agent.job.config import Config

from .fakecase import hushed
from .fakenats import FakeBus, Nats
from .fakes import IP, SESSION


class HurriedBus(FakeBus):
    """A bus that lets others in between, and may lose the answer to a write."""

    def __init__(self, nats: Nats, rnd: random.Random | None = None) -> None:
        super().__init__(nats)
        self._rnd = rnd

    async def _others(self) -> bool:
        for _ in range(self._rnd.randrange(4) if self._rnd else 0):
            await asyncio.sleep(0)
        return self._rnd is not None and self._rnd.random() < 0.1

    async def read(self, key: str) -> tuple[dict[str, Any] | None, int]:
        await self._others()
        return await super().read(key)

    async def write(self, key: str, value: dict[str, Any], revision: int) -> int:
        await self._others()
        revision = await super().write(key, value, revision)
        if await self._others():
            raise asyncio.TimeoutError
        return revision


class Case(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        hushed(self)
        self.nats = Nats()

    def charge(self, ip: str = IP, rnd: random.Random | None = None, **config: Any) -> Charge:
        """Of an agent on a node of its own, so that no other is taken for it."""
        settings = Config(nats_url="", store_id="s", ray_namespace="n", **config)
        return Charge(settings, HurriedBus(self.nats, rnd), SESSION, ip)  # type: ignore[arg-type]

    def holds(self, incarnation: int, **more: Any) -> int:
        """Somebody else sends a heartbeat; its revision."""
        value = {"incarnation": incarnation, "epoch": 3, "session": SESSION, "nodeIp": "10.9.9.9", "pid": 1, **more}
        return self.nats.put("agent", value, None)  # type: ignore[arg-type]

    def holder(self) -> tuple[int, str]:
        """Who is in charge: incarnation and node."""
        value = self.nats.get("agent") or {}
        return value.get("incarnation", 0), value.get("nodeIp", "")


class Turns(Case):
    async def test_it_takes_the_place_of_those_that_are_no_newer(self):
        for held, newest, taken in ((0, 0, 1), (7, 7, 8), (5, 7, 6), (7, None, 8)):
            with self.subTest(held=held, newest=newest):
                self.nats.bucket.clear()
                if held:
                    self.holds(held)
                await self.charge().take(newest=newest)
                self.assertEqual(self.holder(), (taken, IP))

    async def test_it_fights_none_that_came_since(self):
        self.holds(8)
        with self.assertRaisesRegex(Superseded, "incarnation 8 is in charge, not 7"):
            await self.charge().take(newest=7)
        self.assertEqual(self.holder(), (8, "10.9.9.9"))

    async def test_somebody_comes_between_its_look_and_its_write(self):
        self.holds(7)
        charge = self.charge()
        read = charge._bus.read

        async def slow(key: str) -> Any:
            found = await read(key)
            if self.holder()[0] == 7:
                self.holds(8)
            return found

        with mock.patch.object(charge._bus, "read", slow), self.assertRaises(Superseded):
            await charge.take(newest=7)
        self.assertEqual(self.holder(), (8, "10.9.9.9"))

    async def test_what_nobody_can_read_is_no_agent(self):
        self.nats.put("agent", b"{", None)  # type: ignore[arg-type]
        await self.charge().take(newest=0)
        self.assertEqual(self.holder()[1], IP)

    async def test_an_order_for_its_silence_is_void_once_it_is_heard(self):
        revision = self.holds(7)
        late = self.charge()
        self.holds(7)
        with self.assertRaisesRegex(Superseded, "heard again"):
            await late.succeed(7, 3, revision)
        self.assertEqual(self.holder(), (7, "10.9.9.9"))
        await late.succeed(7, 3, self.nats.bucket["agent"][1])
        self.assertEqual(self.holder(), (8, IP))


class Contest(Case):
    async def test_one_is_in_charge_whatever_comes_late_or_is_lost(self):
        with mock.patch.object(retry.Backoff, "failed", lambda *_, **__: asyncio.sleep(0)):
            for seed in range(400):
                with self.subTest(seed=seed):
                    await self.contest(random.Random(seed))

    async def contest(self, rnd: random.Random) -> None:
        """Four agents that were submitted or ordered to take the place of one of the first
        three incarnations: each incarnation has one successor, and no successor is fought."""
        self.nats = Nats()
        self.holds(1)
        wants = [(f"10.0.0.{n}", rnd.randrange(1, 4), rnd.random() < 0.5) for n in range(1, 5)]
        taken = await asyncio.gather(*(self.want(rnd, *w) for w in wants))
        names = [(h["incarnation"], h["nodeIp"]) for k, h in self.nats.history if k == "agent"]
        turns = [who for who, _ in itertools.groupby(names)]
        holders = [ip for ip, _ in itertools.groupby(ip for _, ip in turns)]
        self.assertEqual([i for i, _ in turns], sorted({i for i, _ in turns}), "no incarnation is two agents, none comes back")
        self.assertEqual(len(holders), len(set(holders)), f"{holders}: who has lost its place does not take it back")
        knows = {ip for ip in taken if ip}
        self.assertTrue(knows <= set(holders), "who was never in charge does not think so")
        self.assertTrue(len(holders) == 1 or holders[-1] in knows, "who is in charge knows it")

    async def want(self, rnd: random.Random, ip: str, newest: int, submitted: bool) -> str:
        charge = self.charge(ip, rnd)
        for _ in range(rnd.randrange(6)):
            await asyncio.sleep(0)
        try:
            if submitted:
                await charge.take(newest=newest)
            else:
                await retry.persist("", lambda: charge.succeed(newest, 3), 1)
        except (Superseded, Conflict):
            return ""
        return ip


class Submitted(Case):
    """An agent that was submitted to be in charge."""

    def begin(self, newest: int) -> tuple[asyncio.Task[None], list[Any]]:
        """Its first steps, and the callbacks by which it takes orders."""
        orders: list[Any] = []

        class Stood:
            def __init__(self, world: Any, charge: Charge, *_: Any) -> None:
                self._charge = charge

            async def wait(self) -> None:
                done = asyncio.get_running_loop().create_future()
                orders.append((self._charge, done))
                await done

        with mock.patch.object(agent_module, "Bus", lambda: HurriedBus(self.nats)):
            it = Agent(Config(nats_url="", store_id="s", ray_namespace="n", succeeds=newest))
        it._ray = types.SimpleNamespace(session=lambda: SESSION, node_ip=lambda: IP)  # type: ignore[assignment]
        it._charge = self.charge(succeeds=newest)
        patch = mock.patch.object(agent_module, "Standby", Stood)
        patch.start()
        self.addCleanup(patch.stop)
        return asyncio.ensure_future(it._await_turn()), orders

    async def test_it_is_in_charge_by_itself(self):
        self.holds(7)
        waits, orders = self.begin(7)
        await waits
        self.assertEqual((self.holder(), orders), ((8, IP), []))

    async def test_it_stands_by_where_another_one_was_faster(self):
        self.holds(8)
        waits, orders = self.begin(7)
        for _ in range(20):
            await asyncio.sleep(0)
        self.assertEqual((waits.done(), len(orders), self.holder()[0]), (False, 1, 8))
        orders[0][1].set_result(None)
        await waits

    async def test_its_settings(self):
        raw = {"natsUrl": "nats://h", "storeId": "s", "rayNamespace": "n"}
        for more, want in (({}, None), ({"succeeds": 0}, 0), ({"succeeds": 9}, 9)):
            text = base64.b64encode(json.dumps({**raw, **more}).encode()).decode()
            self.assertEqual(Config.decode(text).succeeds, want)


if __name__ == "__main__":
    unittest.main()
