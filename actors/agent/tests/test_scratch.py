"""What an engine leaves behind, with real processes: sockets, files and shared memory."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from typing import Any
from unittest import mock

from dynctl_agent.actor import execution, procfs, scratch
from dynctl_agent.actor.unit_actor import UnitActor

from .cluster import STORE, worker
from .fakes import new_actor
from .patience import within

# As vLLM does: a socket in VLLM_RPC_BASE_PATH, temporary files, and segments of shared
# memory that a process beside the main one has made. One has a name that means something.
ENGINE = """
import json, os, socket, subprocess, sys, tempfile, time, uuid
INNER = '''
import multiprocessing, sys, time
from multiprocessing import resource_tracker, shared_memory
resource_tracker.register = lambda *_: None
a, b = shared_memory.SharedMemory(create=True, size=64), shared_memory.SharedMemory(name=sys.argv[1], create=True, size=64)
semaphore = multiprocessing.get_context("spawn").Semaphore()
print(a.name, "sem." + semaphore._semlock.name[1:], flush=True)
time.sleep(3600)
'''
named = "dynctl-test-" + uuid.uuid4().hex
inner = subprocess.Popen([sys.executable, "-c", INNER, named], stdout=subprocess.PIPE, text=True)
path = os.path.join(os.environ["VLLM_RPC_BASE_PATH"], str(uuid.uuid4()))
socket.socket(socket.AF_UNIX).bind(path)
file = tempfile.NamedTemporaryFile(delete=False).name
segment, semaphore = inner.stdout.readline().split()
made = {"socket": path, "file": file, "segment": segment, "semaphore": semaphore, "named": named, "tmp": tempfile.gettempdir()}
print(json.dumps(made), flush=True)
time.sleep(3600)
"""


class Mapped:
    """A segment that this process maps, made if it has no name yet. Without a resource
    tracker: a child of this process, which an actor here would take for one of its own."""

    def __init__(self, test: unittest.TestCase, name: str = "") -> None:
        self.name = name or "psm_" + uuid.uuid4().hex[:8]
        with open(os.path.join(scratch.SHM, self.name), "r+b" if name else "x+b") as f:
            f.truncate(64)
            self._memory = mmap.mmap(f.fileno(), 64)
        test.addCleanup(remove, self.name)
        test.addCleanup(self._memory.close)


def there(name: str) -> bool:
    return os.path.exists(os.path.join(scratch.SHM, name))


def remove(name: str) -> None:
    try:
        os.unlink(os.path.join(scratch.SHM, name))
    except FileNotFoundError:
        pass


class Engine(unittest.IsolatedAsyncioTestCase):
    """An actor that executes ENGINE as vLLM's worker."""

    async def asyncSetUp(self):
        # As long as with Ray's names: no socket fits below it.
        self.dir = tempfile.TemporaryDirectory(suffix="_" + "x" * 60)
        self.addCleanup(self.dir.cleanup)
        for module, name, value in ((scratch, "LOOK", 0.1), (execution, "LEFTOVER_TERM", 0.1)):
            patch = mock.patch.object(module, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.caller = {"storeId": STORE, "incarnation": 1}

    async def asyncTearDown(self):
        await self.actor.stop(self.caller, 0.1)

    async def execute(self, module: str = "dynamo.vllm", env: dict[str, str] | None = None) -> dict[str, Any]:
        """Execute it; what it has made, with its pid."""
        argv = [{"expand": "{py}"}, "-c", ENGINE, module]
        t = worker("s", "0a0a0a0a", 0, argv, health={"kind": "none"})
        t["actors"][0]["env"] = [{"name": name, "value": value} for name, value in (env or {}).items()]
        goal = {"number": 1, "failures": 0}
        header = {"storeId": STORE, "actor": t["actors"][0]["name"], "template": t, "placement": goal, "goals": {}}
        self.actor = new_actor(UnitActor, header, self.dir.name)
        self.request = {"template": t, "goals": {}, "attempt": goal, "resolved": {}, "uses": {}, "previousLease": 0}
        return await self.again(1)

    async def again(self, number: int) -> dict[str, Any]:
        """The next attempt."""
        snap = await self.actor.execute(self.caller, {**self.request, "attempt": {"number": number, "failures": 0}})
        async with within(30):
            while not (text := self.log()).endswith("}\n"):
                await asyncio.sleep(0.02)
        made = {**json.loads(text.splitlines()[-1]), "pid": snap["childPid"]}
        self.addCleanup(remove, made["named"])
        self.addCleanup(remove, made["segment"])
        self.addCleanup(remove, made["semaphore"])
        return made

    async def noted(self, segment: str) -> None:
        """Until the actor has seen whose segment it is, and whose semaphore there is."""
        async with within(30):
            while not (segment in (found := self.actor._left._segments.found) and any(n.startswith("sem.") for n in found)):
                await asyncio.sleep(0.02)

    async def killed(self, pid: int) -> None:
        """Kill an attempt, and wait until the actor has dealt with it."""
        os.kill(pid, signal.SIGKILL)
        async with within(30):
            snap = self.actor._state.snapshot()
            while snap["state"] != "Exited":
                snap = await self.actor.wait(self.caller, snap["version"])

    def log(self) -> str:
        with open(self.actor._paths()[1], encoding="utf-8") as f:
            return f.read()


class Killed(Engine):
    async def test_what_it_left_is_cleared_and_only_that(self):
        stranger = Mapped(self)
        made = await self.execute()
        later = Mapped(self)
        beside = os.path.join(tempfile.gettempdir(), "dynctl-test-beside")
        open(beside, "w").close()
        self.addCleanup(os.unlink, beside)
        await self.noted(made["segment"])
        await self.killed(made["pid"])
        self.assertEqual([os.path.lexists(made[k]) for k in ("socket", "file", "tmp")], [False, False, False])
        self.assertFalse(there(made["segment"]) or there(made["semaphore"]))
        self.assertTrue(there(made["named"]), "a name that means something may be meant to stay")
        self.assertTrue(there(stranger.name) and there(later.name), "somebody else's")
        self.assertTrue(os.path.exists(beside))

    async def test_a_segment_that_somebody_maps_stays(self):
        made = await self.execute()
        Mapped(self, made["segment"])
        await self.noted(made["segment"])
        await self.killed(made["pid"])
        self.assertTrue(there(made["segment"]))

    async def test_the_next_attempt_begins_with_an_empty_directory(self):
        made = await self.execute()
        await self.killed(made["pid"])
        after = await self.again(2)
        self.assertEqual(after["tmp"], made["tmp"], "of the actor, not of the attempt")
        self.assertEqual(len(os.listdir(after["tmp"])), 2)

    async def test_a_stop_leaves_nothing(self):
        made = await self.execute()
        await self.noted(made["segment"])
        await self.actor.stop(self.caller, 5)
        await self.actor.clean(self.caller)
        self.assertFalse(there(made["segment"]) or os.path.lexists(made["tmp"]))
        unit = os.path.dirname(self.actor._paths()[1])
        self.assertEqual([n for n in os.listdir(unit) if ".log" not in n], [])


class Names(Engine):
    async def test_the_directory_lies_in_the_unit_s_and_its_name_is_short(self):
        made = await self.execute()
        unit = os.path.dirname(self.actor._paths()[1])
        self.assertEqual(os.path.dirname(os.path.realpath(made["tmp"])), os.path.realpath(unit))
        self.assertLessEqual(len(made["socket"]), 107)
        self.assertEqual(os.stat(made["tmp"]).st_mode & 0o777, 0o700)

    async def test_what_the_spec_says_counts(self):
        with tempfile.TemporaryDirectory() as own:
            made = await self.execute(env={"VLLM_RPC_BASE_PATH": own, "TMPDIR": own})
            self.assertEqual((os.path.dirname(made["socket"]), made["tmp"]), (own, own))
            await self.killed(made["pid"])
            self.assertEqual(len(os.listdir(own)), 2, "it is the user's, and left alone")

    async def test_what_the_node_says_counts(self):
        with tempfile.TemporaryDirectory() as own, mock.patch.dict(os.environ, {"TMPDIR": own}):
            made = await self.execute()
            self.assertEqual(made["tmp"], own)
            self.assertNotEqual(os.path.dirname(made["socket"]), own)

    async def test_other_engines_keep_theirs(self):
        with tempfile.TemporaryDirectory() as own:
            made = await self.execute("dynamo.sglang", {"VLLM_RPC_BASE_PATH": own})
            self.assertEqual(made["tmp"], tempfile.gettempdir())
            await self.noted(made["segment"])
            await self.killed(made["pid"])
            os.unlink(made["file"])
            self.assertFalse(there(made["segment"]), "its segments are cleared too")

    async def test_it_runs_without_where_none_can_be_made(self):
        with tempfile.TemporaryDirectory() as own:
            with mock.patch.object(scratch.os, "symlink", side_effect=PermissionError("no")):
                made = await self.execute(env={"VLLM_RPC_BASE_PATH": own})
            self.assertEqual(made["tmp"], tempfile.gettempdir())
            os.unlink(made["file"])


class Actors(unittest.TestCase):
    def test_a_link_that_is_somebody_else_s_stays(self):
        with tempfile.TemporaryDirectory() as d:
            own = scratch.Scratch(d, "x" * 60)
            self.addCleanup(own.clear)
            os.symlink("/", own.link)
            self.addCleanup(os.unlink, own.link)
            with self.assertRaises(OSError):
                own.make()
            own.clear()
            self.assertEqual(os.readlink(own.link), "/")

    def test_the_reaper_clears_when_the_actor_is_killed(self):
        made, pid = self.parent()
        self.until(lambda: not procfs.alive(pid))
        self.until(lambda: not any(os.path.lexists(m) for m in made))

    PARENT = """
import asyncio, os, sys
from dynctl_agent.actor.process import Command, Process
from dynctl_agent.actor.reaper import Reaper
async def main():
    reaper = Reaper()
    process = Process.spawn(Command("/bin/sh", ["sh", "-c", "exec sleep 300"], dict(os.environ)), reaper)
    for path in sys.argv[1:]:
        reaper.remove(path, os.lstat(path).st_ino)
    print(process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""

    def parent(self):
        """Kill an actor that has announced a directory, a link to it and a file; what
        was announced, and the pid of its child. What replaced one of its files stays."""
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        directory, link, file, replaced = (os.path.join(d.name, n) for n in ("directory", "link", "a file", "replaced"))
        os.makedirs(os.path.join(directory, "below"))
        os.symlink(directory, link)
        for path in (file, replaced, replaced + ".new"):
            open(path, "w").close()
        parent = subprocess.Popen(
            [sys.executable, "-c", self.PARENT, directory, link, file, replaced], stdout=subprocess.PIPE, text=True,
            cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        )
        self.addCleanup(parent.stdout.close)
        pid = int(parent.stdout.readline())
        os.replace(replaced + ".new", replaced)
        parent.kill()
        parent.wait()
        self.addCleanup(lambda: self.assertTrue(os.path.exists(replaced)))
        return (directory, link, file), pid

    @staticmethod
    def until(condition, timeout: float = 20.0) -> None:
        limit = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > limit:
                raise TimeoutError
            time.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
