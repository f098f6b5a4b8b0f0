"""The actor outside Ray, with real processes: how one that hangs is ended."""

from __future__ import annotations

import asyncio
import http.server
import os
import signal
import tempfile
import threading
import time
import unittest
from unittest import mock

from dynctl_agent.actor import execution, health, procfs
from dynctl_agent.actor.unit_actor import UnitActor

from .cluster import STORE, worker
from .fakes import new_actor
from .patience import within

LEASE = 0x10
# A worker as Dynamo's: what it does at SIGTERM is its first argument, and the file in its
# third holds how many requests are under way.
WORKER = """
import http.server, signal, sys, threading, time
draining = False
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b""
        if self.path == "/metrics":
            with open(sys.argv[3]) as f:
                body = b'dynamo_component_inflight_requests{dynamo_endpoint="generate",worker_id="10"} ' + f.read().encode()
        self.send_response(503 if draining and sys.argv[1] == "answers 503" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
server.handle_error = lambda *_: None  # whoever asked while it was held has gone
def drain(*_):
    global draining
    draining = True
    print("term", flush=True)
    def finish():
        if sys.argv[1] == "listens no more":
            server.shutdown(); server.server_close()
        time.sleep(3600 if sys.argv[1] == "never ends" else 1.5)
        print("done", flush=True)
        import os; os._exit(0)
    threading.Thread(target=finish).start()
signal.signal(signal.SIGTERM, drain)
threading.Thread(target=server.serve_forever).start()
while True: time.sleep(0.05)  # a signal may come to the other thread, which wakes nobody
"""


class Actor(unittest.IsolatedAsyncioTestCase):
    """One actor with a worker of that kind."""

    async def asyncSetUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        for module, name, value in ((health, "TIMEOUT", 0.3), (execution, "REVOCATION", 0.5)):
            patch = mock.patch.object(module, name, value, create=True)
            patch.start()
            self.addCleanup(patch.stop)
        self.caller = {"storeId": STORE, "incarnation": 1}

    async def asyncTearDown(self):
        await self.actor.stop(self.caller, 0.1)

    async def execute(self, behaviour: str, env: dict[str, str] | None = None, module: str = "dynamo.mocker") -> int:
        """A worker that is ready and has told its lease; its pid."""
        self.under_way(0)
        argv = [{"expand": "{py}"}, "-c", WORKER, behaviour, {"expand": "{port:u/system}"}, self.dir.name + "/under-way", module]
        rule = {"kind": "http", "port": "system", "path": "/health", "lease": True, "every": 0.1, "failures": 3}
        t = worker("s", "0a0a0a0a", 0, argv, health=rule, ports=[{"name": "system", "seed": 28300}])
        t["actors"][0]["env"] = [{"name": name, "value": value} for name, value in (env or {}).items()]
        goal = {"number": 1, "failures": 0}
        header = {"storeId": STORE, "actor": t["actors"][0]["name"], "template": t, "placement": goal, "goals": {}}
        self.actor = new_actor(UnitActor, header, self.dir.name)
        await self.actor.find_ports(self.caller, t["actors"][0]["ports"], [], {})
        port = str(self.actor._state.now["ports"]["system"])
        request = {
            "template": t, "goals": {}, "attempt": goal, "resolved": {"{port:u/system}": port}, "uses": {}, "previousLease": 0,
        }
        self.request = request
        snap = await self.actor.execute(self.caller, request)
        await self.until(lambda s: s["state"] == "Running" and s["lease"] == LEASE)
        return snap["childPid"]

    def under_way(self, count: int) -> None:
        """How many requests the worker has from now on."""
        with open(self.dir.name + "/new", "w", encoding="ascii") as f:
            f.write(str(count))
        os.replace(self.dir.name + "/new", self.dir.name + "/under-way")

    async def until(self, condition) -> dict:
        """The first snapshot of which that is true."""
        async with within(20):
            snap = self.actor._state.snapshot()
            while not condition(snap):
                snap = await self.actor.wait(self.caller, snap["version"])
            return snap

    def log(self) -> str:
        with open(self.actor._paths()[1], encoding="utf-8") as f:
            return f.read()


class Ends(Actor):
    async def test_the_lease_is_given_up_before_it_is_killed(self):
        pid = await self.execute("never ends")
        os.kill(pid, signal.SIGSTOP)
        snap = await self.until(lambda s: s["lease"] == 0)
        told = time.monotonic()
        self.assertEqual((snap["previousLease"], snap["state"], snap["exit"]), (LEASE, "Running", None))
        self.assertTrue(procfs.alive(pid), "there is time to revoke it")
        snap = await self.until(lambda s: s["state"] == "Exited")
        self.assertGreater(time.monotonic() - told, 0.4)
        self.assertEqual((snap["exit"]["reason"], snap["previousLease"]), ("Hung", LEASE))
        self.assertFalse(procfs.alive(pid))

    async def test_a_stop_of_one_that_hangs_does_not_wait_for_it(self):
        pid = await self.execute("never ends")
        os.kill(pid, signal.SIGSTOP)
        await self.until(lambda s: s["lease"] == 0)
        begun = time.monotonic()
        snap = await self.actor.stop(self.caller, 60)
        self.assertTrue(0.3 < time.monotonic() - begun < 5, "the rest of the time to revoke the lease, no more")
        self.assertEqual((snap["state"], snap["previousLease"]), ("Stopping", LEASE))
        self.assertFalse(procfs.alive(pid))

    async def test_it_hangs_while_it_drains(self):
        pid = await self.execute("never ends")
        stop = asyncio.ensure_future(self.actor.stop(self.caller, 60))
        await self.until(lambda s: s["state"] == "Stopping")
        while "term" not in self.log():
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
        snap = await self.until(lambda s: s["lease"] == 0)
        self.assertEqual(snap["previousLease"], LEASE)
        self.assertTrue(procfs.alive(pid))
        snap = await asyncio.wait_for(stop, 10)
        self.assertEqual((snap["previousLease"], snap["hung"], snap["lost"]), (LEASE, True, 0))
        self.assertFalse(procfs.alive(pid))

    async def test_one_that_drains_is_left_alone(self):
        for behaviour in ("answers 503", "listens no more"):
            with self.subTest(behaviour):
                await self.execute(behaviour)
                snap = await self.actor.stop(self.caller, 60)
                self.assertEqual(self.log(), "term\ndone\n")
                self.assertEqual((snap["previousLease"], snap["hung"]), (LEASE, False))

    async def test_it_is_held_until_it_is_released(self):
        pid = await self.execute("answers 503")
        await self.actor.hold(self.caller, 60)
        await is_paused(pid, True)
        await self.actor.release(self.caller)
        await is_paused(pid, False)
        self.assertEqual(self.actor._state.snapshot()["state"], "Running")

    async def test_it_is_not_held_for_ever(self):
        pid = await self.execute("answers 503")
        await self.actor.hold(self.caller, 0.5)
        await is_paused(pid, True)
        await is_paused(pid, False)

    async def test_a_stop_lets_it_go(self):
        pid = await self.execute("answers 503")
        await self.actor.hold(self.caller, 60)
        await is_paused(pid, True)
        await self.actor.stop(self.caller, 60)
        self.assertEqual(self.log(), "term\ndone\n", "it finishes what it has begun")


class Mute(http.server.BaseHTTPRequestHandler):
    """A program of somebody else's, to which no question makes sense."""

    def log_message(self, *_):
        pass


class Stranger(Mute):
    """A worker of somebody else's, well, with a lease of its own."""

    def do_GET(self):
        body = b'dynamo_component_inflight_requests{dynamo_endpoint="generate",worker_id="99"} 0'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class TakenPort(Actor):
    async def attempt(self, script: str, stranger: type[http.server.BaseHTTPRequestHandler]) -> dict:
        """The end of an attempt whose port somebody takes before its process listens."""
        argv = [{"expand": "{py}"}, "-c", script, "dynamo.mocker"]
        rule = {"kind": "http", "port": "system", "path": "/health", "lease": True, "every": 0.1, "failures": 3}
        t = worker("s", "0a0a0a0a", 0, argv, health=rule, ports=[{"name": "system", "seed": 28350}])
        goal = {"number": 1, "failures": 0}
        header = {"storeId": STORE, "actor": t["actors"][0]["name"], "template": t, "placement": goal, "goals": {}}
        self.actor = new_actor(UnitActor, header, self.dir.name)
        await self.actor.find_ports(self.caller, t["actors"][0]["ports"], [], {})
        self.port = self.actor._state.now["ports"]["system"]
        with http.server.ThreadingHTTPServer(("127.0.0.1", self.port), stranger) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.shutdown)
            request = {"template": t, "goals": {}, "attempt": goal, "resolved": {}, "uses": {}, "previousLease": 0}
            await self.actor.execute(self.caller, request)
            leases = set()

            def ended(snap: dict) -> bool:
                leases.add(snap["lease"])
                return snap["state"] == "Exited"

            snap = await self.until(ended)
        self.assertEqual(leases, {0}, "the lease is another's")
        return snap

    async def test_what_another_program_says_is_not_believed(self):
        with mock.patch.object(health, "PATIENCE", 0.3):
            snap = await self.attempt("import time; time.sleep(3600)", Stranger)
        self.assertEqual(snap["exit"]["reason"], "PortConflict")
        self.assertEqual(snap["exit"]["cause"], f"another program has taken its port {self.port} (system)")

    async def test_nor_what_it_does_not_say(self):
        with mock.patch.object(health, "PATIENCE", 0.3):
            snap = await self.attempt("import time; time.sleep(3600)", Mute)
        self.assertEqual(snap["exit"]["reason"], "PortConflict")


class Causes(Actor):
    async def test_why_it_ended_is_told_while_the_next_attempt_runs(self):
        pid = await self.execute("never ends")
        with open(self.actor._paths()[1], "a", encoding="utf-8") as f:
            f.write("Traceback (most recent call last):\n  File \"x\"\nValueError: the \x1b[31mcause\x1b[0m\n" + "noise\n\n" * 60)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGKILL)
        snap = await self.until(lambda s: s["state"] == "Exited")
        self.assertEqual(snap["exit"]["cause"], "ValueError: the cause noise")
        self.assertTrue(snap["exit"]["logTail"].startswith("cause: ValueError: the cause noise\n---\n"))
        self.assertIsNone(snap["lastExit"])
        request = {**self.request, "attempt": {"number": 2, "failures": 1}}
        await self.actor.execute(self.caller, request)
        snap = await self.until(lambda s: s["state"] == "Running")
        self.assertIsNone(snap["exit"])
        self.assertEqual((snap["lastExit"]["attempt"], snap["lastExit"]["cause"]), (1, "ValueError: the cause noise"))


async def is_paused(pid: int, want: bool) -> None:
    """Until a process is stopped by a signal, or goes on."""
    async with within(10):
        while True:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                if (f.read().rsplit(")", 1)[1].split()[0] == "T") == want:
                    return
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
