"""The agent with a real Ray and a real nats-server, and real processes as children.

All share one Ray head, because starting one takes ten seconds; each test has a server
name of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import itertools
import unittest

from dynctl_agent.actor import procfs

from .cluster import Machines, Reconciler, http_worker, worker

servers = (f"s{n}" for n in itertools.count())
GENERATION = "0a0a0a0a"
TREE = "trap '' TERM; sh -c \"trap '' TERM; sleep 3600 & wait\" & wait"


@functools.cache
def shared() -> Machines:
    """The servers, from the first test that needs them to the end of the run."""
    machines = Machines()
    atexit.register(machines.close)
    return machines


def tree(root: int) -> list:
    """A process with all that descends from it."""
    table, found = list(procfs.processes()), {root}
    for _ in range(5):
        found |= {p.pid for p in table if p.ppid in found}
    return sorted(found)


class Case(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.machines = shared()

    async def asyncSetUp(self):
        self.server = next(servers)
        self.r = Reconciler(self.machines)
        await self.r.open()
        self.addAsyncCleanup(self.r.close)
        if not self.machines.agents or self.machines.agents[-1].poll() is not None:
            self.machines.start_agent()
        self.templates = []
        await self.r.synced()

    async def asyncTearDown(self):
        if self.machines.agents[-1].poll() is None:
            for t in self.templates:
                if self.r.state(t):
                    await self.r.stop(t, 0.2, "sweep")
            await self.r.until(lambda: not any(self.r.state(t) for t in self.templates), 60)

    def worker(self, argv, index=0, **fields):
        self.templates.append(worker(self.server, GENERATION, index, argv, **fields))
        return self.templates[-1]

    def http(self, index=0, **fields):
        self.templates.append(http_worker(self.server, GENERATION, index, **fields))
        return self.templates[-1]

    async def gone(self, pids, timeout=10.0):
        for _ in range(int(timeout / 0.02)):
            if not any(procfs.alive(p) for p in pids):
                return
            await asyncio.sleep(0.02)
        self.fail(f"alive: {[p for p in pids if procfs.alive(p)]}")

    async def eventually(self, condition, timeout=20.0):
        """For what no message tells."""
        for _ in range(int(timeout / 0.02)):
            if condition():
                return
            await asyncio.sleep(0.02)
        self.fail(f"not within {timeout} s")

    async def family(self, root):
        """The pids of a process of TREE, once it has started its children."""
        await self.eventually(lambda: len(tree(root)) >= 3)
        return tree(root)

    async def new_agent(self):
        before = self.r.agent["incarnation"]
        self.machines.start_agent()
        return await self.r.synced(before + 1)

    def log(self):
        return self.machines.agents[-1].log.read_text()

    def facts(self, kind):
        return [f["data"] for f in self.r.facts if f["type"] == kind and f["data"]["server"] == self.server]
