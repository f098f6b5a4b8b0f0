"""Processes: started, seen to exit, ended with all that they started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from dynctl_agent.actor import procfs
from dynctl_agent.actor.process import Command, Patience, Process, end
from dynctl_agent.actor.reaper import Reaper

from .vectors import rows

# A shell with a child and a grandchild that hear no SIGTERM.
STUBBORN = "trap '' TERM; sh -c \"trap '' TERM; sleep 300 & echo \\$! >&2; wait\" & wait"


def command(script: str, log_path=None) -> Command:
    return Command("/bin/sh", ["sh", "-c", script], {"PATH": os.environ["PATH"]}, log_path)


def until(condition, timeout=10.0):
    limit = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError
        time.sleep(0.01)


class Vectors(unittest.IsolatedAsyncioTestCase):
    async def test_reap(self):
        for row in rows("reap"):
            with self.subTest(row["name"]):
                now, sent = [0.0], []

                async def sleep(seconds):
                    now[0] += seconds

                case, want = row["input"], row["want"]["ok"]

                def gone():
                    killed = any(s == "SIGKILL" for s, _ in sent)
                    return killed or now[0] >= case["group_gone_at_s"]

                def send(signum):
                    sent.append((signal.Signals(signum).name, now[0]))

                patience = Patience(case["sigterm_wait_s"], 5, lambda: now[0], sleep)
                self.assertTrue(await end(gone, send, patience))
                self.assertEqual([s for s, _ in sent], [s for s, _ in want["signals"]])
                for (_, at), (_, wanted) in zip(sent, want["signals"], strict=True):
                    self.assertAlmostEqual(at, wanted, delta=0.11)
                self.assertAlmostEqual(now[0], want["elapsed_s_about"], delta=0.2)


class Life(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.reaper = Reaper()
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.log = os.path.join(self.dir.name, "x.log")

    def output(self) -> str:
        with open(self.log) as f:
            return f.read()

    async def test_exit_codes(self):
        for name, script, want in (("zero", "exit 0", 0), ("three", "exit 3", 3), ("signal", "kill -9 $$", -9)):
            with self.subTest(name):
                process = Process.spawn(command(script), self.reaper)
                self.assertEqual(await asyncio.wait_for(process.exited, 10), want)

    async def test_exactly_the_environment_and_a_session_of_its_own(self):
        env = {"PATH": "/bin:/usr/bin", "A": "1"}
        process = Process.spawn(Command("/usr/bin/env", ["env"], env, self.log), self.reaper)
        stat = procfs.stat(process.pid)
        await asyncio.wait_for(process.exited, 10)
        self.assertEqual(sorted(self.output().split()), ["A=1", "PATH=/bin:/usr/bin"])
        self.assertEqual((stat.session, stat.pgrp), (process.pid, process.pid))

    async def test_no_descriptor_of_ours_is_inherited(self):
        process = Process.spawn(command("ls /proc/self/fd", self.log), self.reaper)
        await asyncio.wait_for(process.exited, 10)
        self.assertLessEqual(set(self.output().split()), {"0", "1", "2", "3"})  # 3 is the directory itself

    async def test_what_cannot_be_executed(self):
        with self.assertRaises(OSError):
            Process.spawn(Command("/nowhere/x", ["x"], {}), self.reaper)

    async def test_the_group_ends_with_grandchildren_and_leaves_no_zombies(self):
        process = Process.spawn(command(STUBBORN, self.log), self.reaper)
        await asyncio.to_thread(until, lambda: os.path.exists(self.log) and self.output().strip())
        grandchild = int(self.output())
        self.assertIn(grandchild, process.members())
        self.assertTrue(await process.end_group(0.2))
        self.assertEqual(await process.exited, -9)
        self.assertFalse(os.path.exists(f"/proc/{grandchild}"))
        self.assertEqual(process.members(), [])

    async def test_orphans_of_another_session_end_too(self):
        process = Process.spawn(command("setsid sleep 300 & echo $!; exit 0", self.log), self.reaper)
        await process.exited
        await asyncio.to_thread(until, lambda: bool(self.output().strip()))
        orphan = int(self.output())
        self.assertTrue(await process.end_group(0.2))
        self.assertFalse(procfs.alive(orphan))


PARENT = """
import asyncio, os, sys, time
from dynctl_agent.actor.process import Command, Process
from dynctl_agent.actor.reaper import Reaper
async def main():
    process = Process.spawn(Command("/bin/sh", ["sh", "-c", sys.argv[1]], dict(os.environ), sys.argv[2]), Reaper())
    print(process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


class Death(unittest.TestCase):
    """The parent of a process is killed with SIGKILL."""

    def start(self, script: str):
        log = tempfile.NamedTemporaryFile()
        self.addCleanup(log.close)
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, script, log.name], stdout=subprocess.PIPE, text=True,
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )
        self.addCleanup(parent.stdout.close)
        self.addCleanup(parent.kill)
        child = int(parent.stdout.readline())
        if script != STUBBORN:
            return parent, child, 0
        until(lambda: os.path.getsize(log.name) > 0)
        return parent, child, int(log.read())

    def test_children_and_grandchildren_end(self):
        parent, child, grandchild = self.start(STUBBORN)
        parent.kill()
        parent.wait()
        until(lambda: not procfs.alive(child), 5)
        until(lambda: not procfs.alive(grandchild), 5)

    def test_also_when_the_direct_children_are_killed_first(self):
        # As Ray does when it ends an actor.
        parent, child, grandchild = self.start(STUBBORN)
        os.kill(parent.pid, signal.SIGSTOP)
        for p in list(procfs.processes()):
            if p.ppid == parent.pid:
                os.kill(p.pid, signal.SIGKILL)
        parent.kill()
        parent.wait()
        until(lambda: not procfs.alive(child), 5)
        until(lambda: not procfs.alive(grandchild), 5)

    def test_the_reaper_ends_itself(self):
        parent, child, _ = self.start("exec sleep 300")

        def reapers():
            marker = b"groups, made, rest = set()"
            found = set()
            for p in procfs.processes():
                try:
                    with open(f"/proc/{p.pid}/cmdline", "rb") as f:
                        if marker in f.read():
                            found.add(p.pid)
                except OSError:
                    pass
            return found

        before = reapers()
        parent.kill()
        parent.wait()
        until(lambda: not procfs.alive(child), 5)
        until(lambda: len(reapers()) < len(before), 5)


if __name__ == "__main__":
    unittest.main()
