"""Whatever stands in the bucket, under any key, costs that key: an agent takes charge over
it, goes on, and puts right what is its own."""

from __future__ import annotations

import copy
import json
import random
import time
import unittest

from dynctl_agent.job import values

from .cluster import STORE, worker
from .fakecase import FakeCase
from .fakes import HEAD

GENERATION = "0a0a0a0a"
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
HUGE = b'{"incarnation":"' + b"x" * (2 << 20) + b'"}'
GARBAGE = [
    b"garbage", b"", b"null", b"[]", b"{", b"1", b'"x"', b"\xff\xfe", DEEP, b"[" * 100_000, HUGE,
    b"]" * 500_000, b'"' + b'\\"' * 250_000,
    b'{"incarnation":NaN,"id":NaN}', b'{"incarnation":1e999}', b'{"incarnation":' + b"9" * 5000 + b"}",
    b'{"incarnation":"x","actors":{},"placementGroup":[],"id":7}', b'{"incarnation":-1}', b'{"incarnation":true}',
    b'{"incarnation":18446744073709551615}', b'{"incarnation":9007199254740993,"epoch":1}',
]


def unit_value(t, **change):
    """A unit as an agent reports it."""
    value = {
        "incarnation": 1, "server": t["server"], "unit": t["unit"], "storeId": STORE, "state": "Running", "generation": GENERATION,
        "placementGroup": {"name": t["placementGroup"]["name"]}, "actors": [{"name": t["actors"][0]["name"], "attempt": 1}],
    }
    return json.dumps({**value, **change}).encode()


class Bucket(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.t = worker("s", GENERATION, 0, ["x"])
        self.key = f"unit.s.{self.t['unit']}"

    def keys(self):
        """Every kind of key: its own and nobody's."""
        return [self.key, "unit.default.zzz", f"node.{HEAD}", "node.x", "agent", "later.thing", "unit", "unit.s"]

    async def clean(self):
        """Until nothing stands there but what the agent wrote."""
        ours = {self.key, f"node.{HEAD}", "agent"}

        def right():
            there = {k: v for k, (v, _) in list(self.nats.bucket.items()) if v is not None}
            return set(there) == ours and all(isinstance(v, dict) for v in there.values())

        await self.until(right)
        await self.until(lambda: self.state(self.t) == "Running")

    async def test_an_agent_takes_charge_over_it(self):
        await self.new_agent()
        actor = await self.running(self.t)
        for garbage in GARBAGE:
            await self.kill_agent()
            before = self.agents[-1].agent._charge.incarnation
            for key in self.keys():
                self.nats.put(key, garbage)
            self.nats.put("node.gone", {"id": "gone", "incarnation": before})  # what is left of its count
            with self.subTest(garbage[:40]):
                self.agents.append(type(self.agents[-1])(self.cluster, self.nats))
                await self.until(lambda: isinstance(a := self.nats.get("agent"), dict) and a["synced"])
                self.assertGreater(self.nats.get("agent")["incarnation"], before)
                await self.clean()
        self.assertEqual(len(actor.started), 1, "nothing was executed again")

    async def test_it_is_put_right_while_an_agent_looks(self):
        await self.new_agent()
        actor = await self.running(self.t)
        incarnation, begun = self.nats.get("agent")["incarnation"], len(self.nats.history)
        for garbage in GARBAGE:
            with self.subTest(garbage[:40]):
                for key in self.keys():
                    self.nats.put(key, garbage)
                await self.clean()
                self.assertEqual(self.nats.get("agent")["incarnation"], incarnation)
                self.assertFalse(self.agents[-1].ended.done())
        unsynced = [v for k, v in self.nats.history[begun:] if k == "agent" and isinstance(v, dict) and not v["synced"]]
        self.assertEqual(unsynced, [], "nothing but its own key was in doubt")
        other = worker("s", GENERATION, 1, ["y"])
        await self.running(other)
        self.assertEqual(len(actor.started), 1)

    async def test_a_unit_of_a_later_incarnation(self):
        await self.new_agent()
        await self.running(self.t)
        self.nats.put(self.key, json.loads(unit_value(self.t, incarnation=99999)))
        self.nats.put("unit.default.zzz", {"incarnation": 99999, "server": "default", "unit": "zzz"})
        await self.until(lambda: self.nats.get(self.key)["incarnation"] == 1)
        await self.clean()

    async def test_a_random_change_of_what_was_reported(self):
        dice = random.Random(9)
        await self.new_agent()
        await self.running(self.t)
        good = json.dumps(self.nats.get(self.key)).encode()
        for _ in range(60):
            await self.kill_agent()
            at = dice.randrange(len(good))
            self.nats.put(self.key, good[:at] + dice.choice([b"", b"\x00", b"9", b'"', b"}", b"-", b"null", b"[]"]) + good[at + dice.randrange(6) :])
            await self.new_agent()
            await self.clean()


STRANGE = [None, True, -1, 1.5, 1 << 70, 1e999, "", "soon", "../../etc", "\x00", "x" * 10_000, [], [None], [[]], {}, {"name": None}, {"": [1e999]}]
GONE = object()


def places(value, path=()):
    """Where in a JSON value something else could stand."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(value, path, to):
    """A copy in which something else stands there, or nothing."""
    if not path:
        return to
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    if to is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return value


class Commands(FakeCase):
    """Whoever may write into the stream may write anything there."""

    async def asyncSetUp(self):
        await super().asyncSetUp()
        await self.new_agent()
        self.t = worker("s", GENERATION, 0, ["x"])
        self.good = await self.running(self.t)

    async def still_at_work(self, number):
        """The agent is the same, nothing was executed again, and what comes is carried out."""
        other = worker("s", GENERATION, number, ["y"])
        await self.running(other)
        self.stop(other, 0)
        await self.until(lambda: not self.state(other))
        self.assertFalse(self.agents[-1].ended.done())
        self.assertEqual((self.state(self.t), len(self.good.started)), ("Running", 1))
        self.assertTrue(all(m.acked for m in self.nats.messages), "or it comes again for ever")

    async def test_what_is_no_command(self):
        for body in [*GARBAGE, b'{"type":"start"}', b'{"type":"start","data":{"command":{}}}', b'{"type":["start"],"data":[]}']:
            self.send(body)
        await self.still_at_work(1)

    async def test_a_start_of_which_something_is_something_else(self):
        t = worker("s", GENERATION, 2, ["z"], ports=[{"name": "system", "seed": 21500}], needs=["infra/x"])
        t["actors"][0]["env"] = [{"name": "A", "value": "1"}]
        attempts = {t["actors"][0]["name"]: {"number": 1, "failures": 0}}
        payload = {"template": t, "placement": {"number": 1, "failures": 0}, "attempts": attempts}
        await self.every_change("start", t, payload)

    async def test_a_stop_of_which_something_is_something_else(self):
        payload = {"gracePeriod": 1, "generation": GENERATION, "retires": True, "names": {"placementGroups": ["a"], "actors": ["b"]}}
        other = worker("s", GENERATION, 2, ["z"])
        await self.every_change("stop", other, payload)
        await self.every_change("sweep", other, payload)

    async def every_change(self, verb, template, payload):
        event = self.event(verb, template, payload)
        number = 10
        for path in places(event):
            for to in [*STRANGE, GONE] if path else STRANGE:
                self.send(json.dumps(changed(event, path, to)).encode())
            number += 1
            with self.subTest(verb, path=path):
                await self.still_at_work(number)


class Checks(unittest.TestCase):
    def test_no_value_takes_long(self):
        for value in (b'"' + b'\\"' * 20_000, b"[" * 500_000, b"]" * 500_000, b'"' * 500_000, b'{"a' * 150_000, b'{"":"' + b"\\" * 500_000):
            with self.subTest(value[:8]), self.assertRaises(values.Unreadable):
                begun = time.process_time()
                try:
                    values.read("agent", value)
                finally:
                    self.assertLess(time.process_time() - begun, 1.0)

    def test_what_is_reported_can_be_read(self):
        t = worker("s", GENERATION, 0, ["x"])
        self.assertEqual(values.read(f"unit.s.{t['unit']}", unit_value(t))["state"], "Running")

    def test_impossible_units(self):
        t = worker("s", GENERATION, 0, ["x"])
        name = t["actors"][0]["name"]
        exits = {"attempt": 1, "code": 1, "at": "2026-11-01T12:00:00Z"}
        for change in (
            {"state": "Flying"}, {"replica": -1}, {"attempt": 1 << 40}, {"generation": 7}, {"storeId": None}, {"placementGroup": None},
            {"placementGroup": {"name": 1}}, {"actors": "x"}, {"actors": [None]}, {"actors": [{}]}, {"actors": [{"name": name}] * 2},
            {"actors": [{"name": name, "attempt": "1"}]}, {"actors": [{"name": name, "ports": {"a": 1e9}}]},
            {"changedAt": 5}, {"changedAt": "yesterday"},
            {"actors": [{"name": name, "startedAt": "9999999-01-01T00:00:00Z"}]}, {"actors": [{"name": name, "startedAt": 5}]},
            {"actors": [{"name": name, "exit": {**exits, "at": "yesterday"}}]}, {"actors": [{"name": name, "exit": {"code": 1}}]},
            {"actors": [{"name": name, "exit": {**exits, "readyFor": -1}}]}, {"actors": [{"name": name, "uses": {"a": 1}}]},
        ):
            with self.subTest(change), self.assertRaises(values.Unreadable):
                values.read(f"unit.s.{t['unit']}", unit_value(t, **change))


if __name__ == "__main__":
    unittest.main()
