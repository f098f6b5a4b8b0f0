"""What tells an engine that works from one that hangs, and slow from dead."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import unittest

from dynctl_agent.actor import environ, health, procfs, progress

from .test_health import Server, until

METRICS = b"""# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} %d.0
vllm:iteration_tokens_total_count{engine="0"} 7
vllm:num_requests_running{engine="0"} 4.0
dynamo_component_requests_total{x="y"} %d
"""


class Counts(unittest.TestCase):
    def test_what_dynamo_counts_is_no_progress(self):
        self.assertEqual(progress.counted(METRICS % (5, 1)), 12)
        self.assertEqual(progress.counted(METRICS % (5, 99)), 12)
        self.assertEqual(progress.counted(b""), 0)

    def test_progress(self):
        now, done = [0.0], [progress.Work()]
        p = progress.Progress(lambda: done[0], lambda: now[0])

        def ask(tokens: int, used: float, read: int = 0) -> bool:
            now[0], done[0] = now[0] + 2, progress.Work(done[0].cpu + used, done[0].read + read)
            return p.made(METRICS % (tokens, 0))

        self.assertFalse(ask(1, 9), "the first question only notes where it stands")
        self.assertFalse(ask(1, 0.1), "nothing moves")
        self.assertTrue(ask(2, 0), "it counts tokens")
        self.assertTrue(ask(2, 1), "a long prefill counts none, and computes")
        self.assertTrue(ask(2, 0.1, 4 << 20), "it waits for what it reads from a busy disk")
        self.assertFalse(ask(2, 0.1, 4096), "a page is no work")
        answers = [ask(2, 2) for _ in range(400)]
        self.assertTrue(all(answers[:290]))
        self.assertFalse(answers[-1], "what computes and answers nothing for ten minutes spins")

    def test_what_is_read_from_a_disk_counts(self):
        with tempfile.NamedTemporaryFile() as f:
            f.write(os.urandom(4 << 20))
            f.flush()
            os.fsync(f.fileno())
            before = procfs.bytes_read(os.getpid())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.pread(f.fileno(), 4 << 20, 0)
            read = procfs.bytes_read(os.getpid()) - before
            kind = subprocess.check_output(["stat", "-f", "-c", "%T", f.name], text=True).strip()
        self.assertGreaterEqual(read, 4 << 20 if kind in ("ext2/ext3", "xfs", "btrfs") else 0, kind)
        self.assertEqual(procfs.bytes_read(0), 0)

    def test_cpu_time_is_that_of_the_others(self):
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
        p = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        try:
            limit = time.monotonic() + 20
            while progress.work(p.pid).cpu < 0.3:
                self.assertLess(time.monotonic(), limit)
                time.sleep(0.01)
        finally:
            os.killpg(p.pid, 9)
            p.wait()
        while progress.work(p.pid) != progress.Work():  # a killed process may take a moment to end
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.01)


class Watched(unittest.IsolatedAsyncioTestCase):
    def monitor(self, port: int, **rule):
        self.told = []
        m = health.Monitor({"health": {"kind": "http", "port": "p", "path": "/", **rule}}, {"p": port}, ["127.0.0.1"])
        m.on_ready = lambda: self.told.append("ready")
        m.on_failure = self.told.append
        return m

    async def test_a_worker_that_makes_progress_is_not_ended(self):
        async with Server() as server:
            server.answers = {"/": (200, b""), "/metrics": (200, b'x{worker_id="10"} 1\n' + METRICS % (1, 1))}
            run = asyncio.ensure_future(self.monitor(server.port, lease=True, every=0.01, failures=3).run())
            await until(lambda: self.told)
            server.answers["/"] = (503, b"")
            for n in range(2, 60):
                server.answers["/metrics"] = (200, METRICS % (n, 1))
                asked = server.asked
                await until(lambda: server.asked >= asked + 2)
            self.assertEqual(self.told, ["ready"])
            await asyncio.wait_for(run, 20)  # it has stopped counting
        self.assertEqual(self.told, ["ready", health.HUNG])

    async def test_a_frontend_that_is_slow_to_begin_has_more_time_than_a_dead_one(self):
        for name, busy in (("dead", False), ("slow", True)):
            with self.subTest(name):
                async with Server() as server:
                    server.answers["/"] = (503, b"")
                    m, begun = self.monitor(server.port, firstWithin=0.3), time.monotonic()
                    m.work = lambda: progress.Work((time.monotonic() - begun) * busy)
                    await asyncio.wait_for(m.run(), 20)
                    took = time.monotonic() - begun
                self.assertEqual(self.told, [health.STARTUP_TIMEOUT])
                self.assertTrue(0.3 <= took < 1.5 if not busy else 1.7 <= took < 10, took)

    async def test_the_limit_of_a_first_answer_doubles(self):
        for failures, want in ((0, 5), (1, 10), (3, 40), (5, 160), (50, 160)):
            rule = {"kind": "http", "port": "p", "firstWithin": 5}
            m = health.Monitor({"health": rule, "startupTimeout": 1800}, {"p": 1}, ["127.0.0.1"], failures)
            self.assertEqual((m._limit, m._busy_limit), (want, min(1800, want * health.BUSY_TIMES)))

    async def test_a_slow_one_becomes_ready(self):
        async with Server() as server:
            server.answers["/"] = (503, b"")
            m, begun = self.monitor(server.port, firstWithin=0.3), time.monotonic()
            m.work = lambda: progress.Work(time.monotonic() - begun)
            run = asyncio.ensure_future(m.run())
            await until(lambda: time.monotonic() - begun > 0.8)
            server.answers["/"] = (200, b"")
            await asyncio.wait_for(run, 20)
        self.assertEqual(self.told, ["ready"])

    async def test_a_start_of_a_minute_is_asked_seldom(self):
        asked, at = 0, 0.0
        while at < 60:
            asked, at = asked + 1, at + health.PATIENCE + health.pause(at)
        self.assertLessEqual(asked, 20, "each is an error in the worker's log")
        self.assertEqual(health.pause(3600), health.SLOWEST_POLL)

    async def test_what_others_wait_for_is_seen_at_once(self):
        for ready in (0.02, 0.05, 0.1, 0.2, 1.0, 5.0):
            asked, at = 0, 0.0
            while at < ready:
                asked, at = asked + 1, at + health.pause(at)
            self.assertLessEqual(at - ready, max(0.02, ready / 19), f"ready after {ready} s, seen after {at:.3f} s")
            self.assertLessEqual(asked, 120, "each is a connection")


class Canaries(unittest.TestCase):
    def test_where_they_are_on(self):
        def names(words, env=(), **health_rule):
            template = {"argv": [{"expand": "{py}"}, "-m", *words], "env": list(env), "health": {"lease": True, **health_rule}}
            return [v["name"] for v in environ.with_canaries(template)]

        on = list(environ.CANARIES)
        own = [{"name": "DYN_HEALTH_CHECK_ENABLED", "value": "false"}]
        for name, got, want in (
            ("vLLM", names(["dynamo.vllm", "--model", "m"]), on),
            ("vLLM, other settings", names(["dynamo.vllm"], [{"name": "A", "value": ""}]), [*on, "A"]),
            ("the specs say something", names(["dynamo.vllm"], own), ["DYN_HEALTH_CHECK_ENABLED"]),
            ("a role", names(["dynamo.vllm", "--disaggregation-mode", "decode"]), []),
            ("a rank that serves nothing", names(["dynamo.vllm", "--headless"], lease=False), []),
            ("mocker", names(["dynamo.mocker"]), []),
            ("sglang", names(["dynamo.sglang"]), []),
            ("frontend", names(["dynamo.frontend"], lease=False), []),
        ):
            with self.subTest(name):
                self.assertEqual(got, want)


if __name__ == "__main__":
    unittest.main()
