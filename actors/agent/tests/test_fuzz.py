"""What the agent reads of what others wrote, fed with values that nobody thought of: each is
taken or refused with the error that its reader is known for, and what is taken can be used.

DYNCTL_FUZZ_TIME (20s, 5m) has it run longer, from a seed of its own, which it prints; with
DYNCTL_FUZZ_SEED it does the same again."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import re
import time
import types
import unittest

from dynctl_agent.job import logserve, values
from dynctl_agent.job.commands import Gate, parse
from dynctl_agent.job.rebuild import remember
from dynctl_agent.job.units import UnitView
from dynctl_agent.job.values import Garbage

from .cluster import STORE, two_ranks, worker
from .fakes import HEAD, SESSION

GENERATION = "0a0a0a0a"
SECONDS = 1.5
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
STRANGE = (
    None, True, False, 0, -1, 1, 7, 1 << 30, 1 << 53, 1 << 63, 1 << 64, -(1 << 63), 10**18, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "0", "a.b", "../..", "a b", "\x00", "\x1b[2J", "\ud800", "\u202e", "x" * 300, "{py}", "2026-11-27T00:00:00Z",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", [], [[]], ["x"], [None], [1, [2]], {}, {"": None}, {"a": {"b": 1}}, {"name": "x"},
    {"expand": "{py}"}, {"number": 1, "failures": -1}, {"CPU": 1},
)
BYTES = (b"", b"\x00", b"\x00" * 512, b"\xff\xfe", b"{", b"}", b"]" * 9, b'"', b"[" * 3000, b'{"a":' * 3000, b"1" * 30, b"\\u0000", b"e999")


def seconds(text):
    """Of a duration as Go writes it."""
    return sum(float(n) * UNITS[u] for n, u in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def places(value, at=()):
    """Every place in a value."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*at, key))


def spoilt(value, rng):
    """The value with one to three places changed: something else, gone, or something more."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.choice(list(places(value)))
        if not at:
            if rng.random() < 0.05:
                return rng.choice(STRANGE)
            continue
        holder = value
        for key in at[:-1]:
            holder = holder[key]
        how = rng.random()
        if how < 0.15:
            del holder[at[-1]]
        elif how < 0.25 and isinstance(holder, dict):
            holder[rng.choice(("x", "", "name", "epoch", "attempts", "exit"))] = copy.deepcopy(rng.choice(STRANGE))
        else:
            holder[at[-1]] = copy.deepcopy(rng.choice(STRANGE))
    return value


def torn(data, rng):
    """The bytes as they are, cut off, with something in them, or one changed."""
    how = rng.random()
    at = rng.randrange(len(data) + 1)
    if how < 0.8:
        return data
    if how < 0.87:
        return data[:at] + rng.choice(BYTES)
    if how < 0.94:
        return data[:at] + rng.choice(BYTES) + data[at:]
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def commands():
    """A command of each kind."""
    for template in (worker("s", GENERATION, 0, ["x", {"expand": "{py}"}]), two_ranks(worker("s", GENERATION, 0, ["y"]))):
        payload = {
            "storeId": STORE, "session": SESSION, "deadline": 30, "template": template, "placement": {"number": 1, "failures": 0},
            "attempts": {a["name"]: {"number": 1, "failures": 0} for a in template["actors"]}, "withheld": False,
        }
        yield event("start", template["unit"], payload)
    for verb in ("stop", "sweep"):
        ends = {"storeId": STORE, "session": SESSION, "deadline": 30, "gracePeriod": 1, "generation": GENERATION, "retires": True}
        yield event(verb, "u", ends)


def event(verb, unit, payload):
    data = {"server": "s", "unit": unit, "generation": GENERATION, "epoch": 3, "specRevision": 7, "causeId": "c", "command": payload}
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    return {"specversion": "1.0", "id": "1", "type": verb, "source": "r", "subject": unit, "traceparent": trace, "data": data}


def take_command(data):
    command = parse(data, 5.0)
    assert values.SERVER.match(command.server) and values.UNIT.match(command.unit)
    gate = Gate(STORE, SESSION, 3)
    assert gate.refusal(command, 6.0) in ("", "RefusedStore", "RefusedSession", "RefusedEpoch", "RefusedDeadline")
    assert command.grace >= 0
    unit = UnitView(command.server, command.unit, STORE)
    unit.told(command.origin)
    if command.verb == "start":
        unit.identify(command.template, command.placement)
    json.dumps(unit.value(3)).encode()


def bucket():
    """A value of each kind of key, as an agent writes it."""
    at = "2026-11-27T00:00:00.000000Z"
    ended = {"attempt": 1, "code": 1, "reason": "Exited", "logTail": "x\n", "at": at, "readyFor": 2.5, "infraAway": False, "cause": "c"}
    actor = {
        "name": "a", "bundle": 0, "state": "Running", "node": HEAD, "ip": "127.0.0.1", "gpus": ["0"], "pid": 7, "childPid": 8,
        "attempt": 2, "failures": 1, "digest": "d", "ports": {"http": 8000}, "uses": {"etcd": "1.1.1.1:2"}, "lease": 9,
        "previousLease": 8, "startedAt": at, "readyAt": at, "exit": ended, "lastExit": ended,
    }
    yield "unit.s.u", {
        "incarnation": 1, "server": "s", "unit": "u", "storeId": STORE, "state": "Running", "generation": GENERATION, "model": "m",
        "role": "aggregated", "digest": "d", "restart": "", "replica": 0, "worker": 0, "attempt": 1, "failures": 0,
        "placementTimeout": 180, "changedAt": at, "placementGroup": {"name": "g", "state": "CREATED"}, "actors": [actor, {**actor, "name": "b"}],
    }
    yield "agent", {"incarnation": 3, "epoch": 2, "synced": True, "session": SESSION, "nodeIp": "127.0.0.1", "pid": 9}
    yield f"node.{HEAD}", {"id": HEAD, "ip": "127.0.0.1", "gpus": 1, "incarnation": 3, "labels": {"a": "b"}}


def take_value(key, data):
    value = values.read(key, data)
    assert not isinstance(value, Garbage)
    if key.startswith("unit."):
        for foreign in (False, True):
            unit = UnitView("s", "u", STORE)
            unit.foreign, unit.group = foreign, {"name": "g"}
            remember(unit, value, STORE)
            json.dumps(unit.value(3)).encode()


class Fuzz(unittest.TestCase):
    def setUp(self):
        longer = seconds(os.environ.get("DYNCTL_FUZZ_TIME", ""))
        self.seed = int(os.environ.get("DYNCTL_FUZZ_SEED") or (time.time_ns() if longer else 20261127))
        if longer:
            print("DYNCTL_FUZZ_SEED", self.seed)
        self.time = (longer or SECONDS) / 3

    def feed(self, samples, take, refuses):
        """Feed take with spoilt samples for its part of the time; refuses: its errors."""
        rng = random.Random(self.seed)
        until, taken, refused = time.monotonic() + self.time, 0, 0
        for data in samples:
            take(data)  # as it is, it is taken
        while time.monotonic() < until or taken + refused < 200:
            value = json.loads(rng.choice(samples))
            data = torn(json.dumps(spoilt(value, rng)).encode(), rng)
            try:
                take(data)
                taken += 1
            except refuses:
                refused += 1
            except BaseException as err:
                raise AssertionError(f"seed {self.seed}: {data[:4000]!r}: {err!r}") from err
        self.assertGreater(min(taken, refused), 10, "one side is never tried")

    def test_commands(self):
        self.feed([json.dumps(c).encode() for c in commands()], take_command, ValueError)

    def test_values_of_the_bucket(self):
        for key, value in bucket():
            with self.subTest(key):
                self.time = self.time if key.startswith("unit.") else 0
                self.feed([json.dumps(value).encode()], lambda data, key=key: take_value(key, data), values.Unreadable)

    def test_requests_for_logs(self):
        world = types.SimpleNamespace(units={("s", "u"): UnitView("s", "u", STORE)})
        replies = []

        async def answered(data):
            replies.append((await logserve._reply(world, data))["error"]["reason"])

        class BadRequest(Exception):
            pass

        with asyncio.Runner() if hasattr(asyncio, "Runner") else _Runner() as runner:

            def take(data):
                runner.run(answered(data))
                if replies.pop() == "BadRequest":
                    raise BadRequest

            self.feed([b'{"server": "s", "unit": "u", "actor": "a", "lines": 50}'], take, BadRequest)


class _Runner:
    """asyncio.Runner, which Python 3.10 lacks."""

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        return self

    def run(self, work):
        return self._loop.run_until_complete(work)

    def __exit__(self, *_):
        self._loop.close()


if __name__ == "__main__":
    unittest.main()
