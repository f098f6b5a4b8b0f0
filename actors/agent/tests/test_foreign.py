"""Actors that are not of our class: their children end, wherever they run."""

from __future__ import annotations

import os
import signal
import subprocess
import unittest

from dynctl_agent.actor import descendants, procfs
from dynctl_agent.job.foreign import end_children
from dynctl_agent.job.units import ActorView


class Ray:
    """Tells one actor's place, and runs what is to run on its node here."""

    def __init__(self, pid: int) -> None:
        self.row = {"name": "theirs", "node_id": "node-1", "pid": pid}

    async def actor_rows(self):
        return [self.row]

    async def end_descendants(self, node, parent, grace):
        assert node == "node-1"
        return descendants.end_descendants(parent, grace)


def alive(pid: int) -> bool:
    return any(p.pid == pid and p.state != "Z" for p in procfs.processes())


class Children(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        # An "actor" whose child leads a group in which a grandchild lives.
        self.actor = subprocess.Popen(
            ["sh", "-c", "setsid sh -c 'sleep 300 & echo $!; wait' & echo $!; wait"], stdout=subprocess.PIPE, text=True,
        )
        self.family = [int(self.actor.stdout.readline()) for _ in range(2)]

    def tearDown(self):
        for pid in [*self.family, self.actor.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.actor.wait()
        self.actor.stdout.close()

    async def test_end(self):
        for name, known in (("where it runs is known", True), ("found while it started", False)):
            with self.subTest(name):
                view = ActorView("theirs")
                if known:
                    view.node, view.pid = "node-1", self.actor.pid
                await end_children(Ray(self.actor.pid), view, 1.0)
                self.assertEqual([p for p in self.family if alive(p)], [])
                self.tearDown()
                self.setUp()


if __name__ == "__main__":
    unittest.main()
