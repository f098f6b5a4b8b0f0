"""Worker processes that are started ahead of the actors that need them."""

from __future__ import annotations

import os
import signal
import unittest
from pathlib import Path

from dynctl_agent.actor import procfs

from .cluster import two_ranks, worker
from .fakecase import FakeCase
from .fakes import HEAD
from .realcase import GENERATION, Case


class Ahead(FakeCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.prestarted = []  # node, and how many processes
        self.cluster.prestart = self.prestart

    async def prestart(self, node, count, keep):
        self.prestarted.append((node, count))

    async def test_a_start_that_others_wait_for(self):
        first, second = worker("s", GENERATION, 1, ["x"]), two_ranks(worker("s", GENERATION, 0, ["x"]))
        await self.new_agent()
        self.start(first)
        await self.running(first)
        self.assertEqual(self.prestarted, [])  # nobody waits for it
        self.start_ahead(second)
        await self.until(lambda: self.prestarted)
        self.assertEqual(self.prestarted, [(HEAD, 2)])

    async def test_a_stop_that_makes_room(self):
        t = worker("s", GENERATION, 0, ["x"])
        await self.new_agent()
        self.start(t)
        await self.running(t)
        self.command("stop", t, {"gracePeriod": 1, "generation": GENERATION, "ahead": True})
        await self.until(lambda: self.nats.get(f"unit.s.{t['unit']}") is None)
        self.assertEqual(self.prestarted, [(HEAD, 1)])

    async def test_an_actor_with_a_runtime_environment_takes_no_plain_process(self):
        t = worker("s", GENERATION, 0, ["x"])
        t["actors"][0]["runtimeEnv"] = {"env_vars": {"A": "b"}}
        await self.new_agent()
        self.start_ahead(t)
        await self.running(t)
        self.assertEqual(self.prestarted, [])

    async def test_a_ray_that_cannot_do_so(self):
        t = worker("s", GENERATION, 0, ["x"])
        del self.cluster.prestart  # as where the generated code of Ray has no such message
        await self.new_agent()
        self.start_ahead(t)
        await self.running(t)
        await self.until(lambda: "no worker process is started ahead" in self.output.getvalue())
        self.stop(t, 1)
        await self.until(lambda: self.nats.get(f"unit.s.{t['unit']}") is None)

    def start_ahead(self, t):
        attempts = {a["name"]: {"number": 1, "failures": 0} for a in t["actors"]}
        self.command(
            "start", t, {"template": t, "placement": {"number": 1, "failures": 0}, "attempts": attempts, "ahead": True}
        )

    async def running(self, t):
        await self.until(lambda: (u := self.nats.get(f"unit.s.{t['unit']}")) and u["state"] == "Running")


def idle(raylet: int) -> set[int]:
    """Ray's worker processes that wait for work."""
    found = set()
    for p in procfs.processes():
        try:
            if p.ppid == raylet and Path(f"/proc/{p.pid}/cmdline").read_bytes().startswith(b"ray::IDLE"):
                found.add(p.pid)
        except OSError:  # it has just ended
            pass
    return found


class InRay(Case):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        t = self.worker(["sleep", "600"])
        await self.r.start(t)
        self.raylet = procfs.stat((await self.r.running(t))["pid"]).ppid
        for pid in idle(self.raylet):  # which Ray started beforehand: any of them would do
            os.kill(pid, signal.SIGKILL)
        await self.r.until(lambda: not idle(self.raylet))
        payload = {"template": t, "placement": {"number": 1, "failures": 0}, "attempts": {}, "ahead": True}
        await self.r.command("start", t["server"], t["unit"], payload)
        self.ahead = await self.r.until(lambda: idle(self.raylet))

    async def test_the_next_actor_runs_in_the_process_that_was_started_ahead(self):
        t = self.worker(["sleep", "600"], 1)
        await self.r.start(t)
        self.assertIn((await self.r.running(t))["pid"], self.ahead)

    async def test_it_ends_with_the_agents_job(self):
        self.machines.agents[-1].kill()
        await self.gone(self.ahead, 20)
        await self.new_agent()


if __name__ == "__main__":
    unittest.main()
