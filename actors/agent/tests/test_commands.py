"""Commands as they come from the stream."""

from __future__ import annotations

import asyncio
import json
import unittest

from dynctl_agent import PROTOCOL, PROTOCOL_OLDEST
from dynctl_agent.job.commands import RefusedProtocol, parse

from .cluster import two_ranks, worker
from .fakecase import FakeCase

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
GENERATION = "0a0a0a0a"
STRANGE = ("x", 7, None, ["a"], {"b": 1}, "x" * 10_000)


class Parse(unittest.TestCase):
    def event(self, **attributes):
        data = {"server": "s", "unit": "u", "epoch": 3, "specRevision": 7, "causeId": "c", "command": {"gracePeriod": 1}}
        return json.dumps({"type": "stop", "id": "1", "data": data, **attributes}).encode()

    def test_what_asks_for_it(self):
        command = parse(self.event(), 0.0)
        self.assertEqual(command.origin, {"verb": "stop", "causeId": "c", "epoch": 3, "specRevision": 7})
        self.assertEqual(command.trace_parent, "")

    def test_another_protocol(self):
        def of(**more):
            data = {"server": "s", "unit": "u", "command": {"gracePeriod": 1, **more}}
            return parse(json.dumps({"type": "stop", "id": "1", "data": data}).encode(), 0.0)

        self.assertEqual("u", of().unit)
        self.assertEqual("u", of(protocol=PROTOCOL).unit)
        for version in (PROTOCOL + 1, PROTOCOL_OLDEST - 1, -1, "1", None, True, 1e9, {}):
            with self.subTest(version), self.assertRaisesRegex(RefusedProtocol, "this agent speaks"):
                of(protocol=version, gracePeriod={"a later": "shape"})

    def test_the_actor_learns_that_its_generation_leaves(self):
        data = {"server": "s", "unit": "u", "command": {"gracePeriod": 1, "retires": True}}
        command = parse(json.dumps({"type": "stop", "id": "1", "data": data}).encode(), 0.0)
        self.assertIs(command.origin["retires"], True)

    def test_trace_context(self):
        self.assertEqual(parse(self.event(traceparent=TRACE), 0.0).trace_parent, TRACE)
        for strange in STRANGE:
            with self.subTest(strange):
                self.assertEqual(parse(self.event(traceparent=strange), 0.0).trace_parent, "")

    def test_attributes_that_nobody_knows(self):
        for strange in STRANGE:
            with self.subTest(strange):
                self.assertEqual(parse(self.event(tracestate=strange, unknown=strange, datacontenttype=strange), 0.0).unit, "u")


class Stops(FakeCase):
    async def test_the_first_rank_before_those_that_it_needs(self):
        t = two_ranks(worker("s", GENERATION, 0, ["x"]))
        await self.new_agent()
        first = (await self.running(t)).started[0]
        second = self.actor(t, 1).started[0]
        self.stop(t, 60)
        await self.until(lambda: first.signals)
        await asyncio.sleep(0.2)
        self.assertEqual(second.signals, [])
        first.end(0)
        await self.until(lambda: second.signals)
        second.end(0)
        await self.until(lambda: not self.state(t))

    async def test_one_that_is_repeated_while_a_start_waits(self):
        t = worker("s", "0a0a0a0a", 0, ["x"], needs=["infra/Dynamo_NATS"])
        await self.new_agent()
        self.start(t)
        await self.until(lambda: self.state(t) == "Waiting")
        self.stop(t, 1)
        self.stop(t, 1)
        await self.until(lambda: not self.unit(t))


class Starts(FakeCase):
    async def other_shape(self, of_first, until):
        """A unit of two ranks that has not come up when it is started with one."""
        first = two_ranks(worker("s", GENERATION, 0, ["x"], **of_first))
        for actor in first["actors"]:
            actor["name"] += "_TP"
        self.cluster.loses |= {a["name"] for a in first["actors"] if until == "Placing"}
        await self.new_agent()
        self.start(first)
        await self.until(lambda: self.state(first) == until)
        await asyncio.sleep(0.1)
        second = worker("s", GENERATION, 0, ["x"])
        second["placementGroup"]["bundles"] = [{"CPU": 2}]
        await self.running(second)
        await asyncio.sleep(0.1)
        self.assertEqual(self.told("unit-exited"), [])
        self.assertEqual([a["name"] for a in self.unit(second)["actors"]], [second["actors"][0]["name"]])
        self.assertEqual(self.unit(second)["placementGroup"]["bundles"], [{"CPU": 2}])
        self.stop(second, 1)
        await self.until(lambda: not self.unit(second))

    async def test_the_other_shape_of_one_that_is_being_placed(self):
        await self.other_shape({}, "Placing")

    async def test_the_other_shape_of_one_that_waits(self):
        await self.other_shape({"needs": ["infra/Dynamo_NATS"]}, "Waiting")


class Withheld(FakeCase):
    def ask(self, whole, hidden):
        attempts = {whole["actors"][0]["name"]: {"number": 1, "failures": 0}}
        payload = {"template": hidden, "withheld": True, "placement": {"number": 1, "failures": 0}, "attempts": attempts}
        self.command("start", whole, payload)

    async def test_the_secrets_of_a_start_are_asked_for(self):
        t = worker("s", GENERATION, 0, ["x"])
        t["actors"][0]["env"] = [{"name": "TOKEN", "value": "hush"}]
        hidden = json.loads(json.dumps(t).replace("hush", "xxxxx"))
        self.nats.withheld = [t]
        await self.new_agent()
        self.ask(t, hidden)
        await self.running(t)
        self.assertEqual(self.actor(t, 0).executed["env"], [{"name": "TOKEN", "value": "hush"}])
        self.assertNotIn("hush", json.dumps(self.nats.facts) + self.output.getvalue())

    async def test_without_an_answer_nothing_starts_and_it_comes_again(self):
        t = worker("s", GENERATION, 0, ["x"])
        other = {**t, "digest": "another"}
        self.nats.withheld = [other]
        await self.new_agent()
        for _ in range(2):  # a wrong answer, and none
            self.ask(t, t)
        await self.until(lambda: self.output.getvalue().count("withholds") == 2)
        self.assertFalse(self.unit(t))
        self.assertFalse(self.nats.messages[-1].acked)


class Trace(FakeCase):
    async def test_it_is_logged_and_goes_no_further(self):
        t = worker("s", "0a0a0a0a", 0, ["x"])
        await self.new_agent()
        attempts = {t["actors"][0]["name"]: {"number": 1, "failures": 0}}
        payload = {"template": t, "placement": {"number": 1, "failures": 0}, "attempts": attempts}
        self.command("start", t, payload, traceparent=TRACE)
        await self.until(lambda: self.state(t) == "Running")
        (line,) = [json.loads(x) for x in self.output.getvalue().splitlines() if f'"{TRACE}"' in x]
        self.assertEqual((line["msg"], line["causeId"]), ("start", "cause"))
        self.assertNotIn(TRACE, json.dumps(self.nats.facts))


if __name__ == "__main__":
    unittest.main()
