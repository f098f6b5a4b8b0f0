"""The cause of an exit, in logs of real endings and in what a log may look like.

testdata/endings holds the ends of logs of vLLM 0.31 on a CPU, of Dynamo 1.6's mocker and
frontend, of etcd and nats-server, each made to end that way; those that need a GPU,
SGLang or TensorRT-LLM are put together from the forms and messages of their sources.
DYNCTL_UPDATE=1 rewrites endings.json.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import tempfile
import time
import unittest

from dynctl_agent.actor import cause, hints, logs, oom

HERE = pathlib.Path(__file__).parent / "testdata" / "endings"
GOLDEN = HERE / "endings.json"
WORK = "2026-11-27T10:11:12.000000Z  INFO dynamo_llm::http: request completed\n"
TRACE = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    f()\n'
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 1, in f
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "x.py", line 2, in g
    |     g()
    | ValueError: inner
    +------------------------------------
"""


def why(text: str, code: int = 1, killed: bool = False) -> str:
    found = cause.of_exit(code, logs.plain(text), killed)
    return found.text if found else ""


class Endings(unittest.TestCase):
    maxDiff = None

    def test_goldens(self):
        got = {}
        for path in sorted(HERE.glob("*.log")):
            found = cause.of_exit(1, logs.plain(path.read_text(encoding="utf-8")))
            got[path.stem] = {"cause": found.text, "hint": found.hint} if found else None
        if os.environ.get("DYNCTL_UPDATE"):
            GOLDEN.write_text(json.dumps(got, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        self.assertEqual(got, json.loads(GOLDEN.read_text(encoding="utf-8")))
        self.assertGreaterEqual(len(got), 30)
        for name, found in got.items():
            with self.subTest(name):
                self.assertIsNotNone(found)
                if name.startswith("vllm-core-killed"):
                    continue  # nothing else was ever written
                self.assertNotRegex(found["cause"], "root cause|Traceback|\x1b|\n")

    def test_the_root_is_told_and_not_who_saw_it(self):
        for name, want in (
            ("vllm-gpu-busy", "ValueError: Free memory on device cuda:0 (98.77/139.8 GiB)"),
            ("vllm-one-rank-out-of-memory", "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB."),
            ("vllm-no-weights", "RuntimeError: Cannot find any model weights"),
            ("sglang-no-kv-memory", "RuntimeError: Not enough memory."),
            ("trtllm-gpu-full", "OutOfMemoryError: CUDA out of memory."),
            ("cuda-illegal-access", "AcceleratorError: CUDA error: an illegal memory access"),
        ):
            with self.subTest(name):
                text = (HERE / f"{name}.log").read_text(encoding="utf-8")
                self.assertTrue(why(text).startswith(want), why(text))
                self.assertNotEqual(hints.find(why(text)), "")

    def test_it_is_found_far_above_the_last_lines(self):
        text = (HERE / "vllm-gpu-busy.log").read_text(encoding="utf-8")
        self.assertIn("Free memory", why(WORK * 5000 + text + "/opt/python/resource_tracker.py:254: UserWarning: leaked\n" * 40))


class Forms(unittest.TestCase):
    def test_forms(self):
        for name, text, want in (
            ("nothing", WORK, ""),
            ("empty", "", ""),
            ("chain, raised from", TRACE + "OSError: the disk\n\n" + cause.DIRECT + "\n\n" + TRACE + "RuntimeError: loading failed\n", "OSError: the disk"),
            ("chain, while handling", TRACE + "KeyError: 'a'\n\n" + cause.WITHIN + "\n\n" + TRACE + "ValueError: no such model: a\n", "ValueError: no such model: a"),
            ("colours", "\x1b[31m" + TRACE + "\x1b[1mValueError\x1b[0m: red\n", "ValueError: red"),
            ("several lines", TRACE + "ValueError: one\n  two\nthree\n\nfour\n", "ValueError: one two three"),
            ("no message", TRACE + "AssertionError\n", "AssertionError"),
            ("a module", TRACE + "a.b.c.MyError: x\n", "MyError: x"),
            ("harmless", TRACE + "ValueError: it\nException ignored in: <function d at 0x1>\n" + TRACE + "AttributeError: gone\n", "ValueError: it"),
            ("group", GROUP, "ValueError: inner"),
            ("argparse", "usage: x [-h]\nx.py: error: unrecognized arguments: --a\n", "error: unrecognized arguments: --a"),
            ("python -m", "usage: x [-h]\npython -m dynamo.vllm: error: argument --a: expected one argument\n", "error: argument --a: expected one argument"),
            ("clap", "error: unexpected argument '--foo' found\n", "error: unexpected argument '--foo' found"),
            ("panic", "thread 'main' panicked at src/a.rs:1:2:\nboom\nnote: run\n", "panicked at src/a.rs:1:2: boom"),
            ("panic of old", "thread 'main' panicked at 'boom', src/a.rs:1:2\n", "panicked at 'boom', src/a.rs:1:2"),
            ("Go", "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\n", "panic: runtime error: index out of range"),
            ("interpreter", "Fatal Python error: Segmentation fault\n\nThread 0x1:\n", "Fatal Python error: Segmentation fault"),
            ("loader", "python: error while loading shared libraries: libcuda.so.1: cannot open shared object file\n", "python: error while loading shared libraries: libcuda.so.1: cannot open shared object file"),
            ("an error that was logged", WORK + "2026-11-27T10:11:12.000000Z ERROR dynamo_runtime::x: lease lost\n" + WORK, "lease lost"),
            ("JSON", '{"time":"2026","level":"ERROR","target":"x","message":"lease lost"}\n', "lease lost"),
            ("long ago", TRACE + "ValueError: of one request\n" + WORK * 300, ""),
            ("two writers", "(A pid=1) Traceback (most recent call last):\n(B pid=2) Traceback (most recent call last):\n(A pid=1)   File \"x\"\n(B pid=2)   File \"y\"\n(A pid=1) ValueError: a\n(B pid=2) EOFError\n", "ValueError: a"),
        ):
            with self.subTest(name):
                self.assertEqual(why(text), want)

    def test_signals(self):
        old = TRACE + "ValueError: of one request\n" + WORK * 60
        for name, got, want in (
            ("killed", why(WORK, -9), "ended by SIGKILL"),
            ("killed for memory", why(WORK, -9, True), cause.OUT_OF_MEMORY),
            ("its engine was killed for memory", why(TRACE + "vllm.EngineDeadError: see\n", 1, True), cause.OUT_OF_MEMORY),
            ("something else was killed for memory", why(TRACE + "ValueError: mine\n", 1, True), "ValueError: mine"),
            ("an error long before", why(old, -9), "ended by SIGKILL"),
            ("a group that kills itself", why(TRACE + "ValueError: mine\n", -9), "ValueError: mine"),
            ("crash", why("", -11), "ended by SIGSEGV"),
            ("no name", why("", -60), "ended by signal 60"),
        ):
            with self.subTest(name):
                self.assertEqual(got, want)

    def test_any_log_is_read_in_time(self):
        for name, text in (
            ("a line of a megabyte", "x" * (1 << 20)),
            ("words", "a b " * (1 << 18)),
            ("words with an end", "a/b-c " * (1 << 17) + ": error: x"),
            ("tracebacks", TRACE * 5000),
            ("braces", "{" * (1 << 20)),
            ("nested JSON", "\n".join("{\"level\":" * 400 for _ in range(200))),
            ("short lines", "a: \n" * (1 << 18)),
            ("escapes", "\x1b[" * (1 << 18)),
        ):
            with self.subTest(name):
                begun = time.monotonic()
                cause.of_exit(1, logs.plain(text))
                self.assertLess(time.monotonic() - begun, 10)

    def test_bounds(self):
        found = cause.of_exit(1, TRACE + "ValueError: " + "ü" * 9999)
        self.assertLessEqual(len(found.text), cause.TEXT)
        told = logs.told("ü" * 5000 + "\n" + "x" * 100000 + "\nlast", cause.heading(found))
        self.assertLessEqual(len(told.encode()), logs.TOLD_BYTES)
        self.assertTrue(told.startswith("cause: ValueError") and told.endswith("\nlast"))
        self.assertLessEqual(len(logs.told("a\n" * 100).splitlines()), logs.TAIL_LINES)


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def path(self, name: str, text: str) -> str:
        path = os.path.join(self.dir.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_a_rotation_hides_nothing(self):
        path = self.path("a.log", WORK)
        self.path("a.log.1", TRACE + "ValueError: it\n")
        self.assertEqual(why(logs.whole_tail(path, 1 << 20, True)), "ValueError: it")
        self.assertEqual(why(logs.whole_tail(path, 1 << 20, False)), "")

    def test_what_the_kernel_killed(self):
        root = self.dir.name
        for name, own, file, text, want in (
            ("v2", "0::/a.slice\n", "a.slice/memory.events", "low 0\noom 3\noom_kill 2\n", 2),
            ("v2 in a container", "0::/\n", "memory.events", "oom_kill 5\n", 5),
            ("v1", "5:cpu,memory:/b\n0::/\n", "memory/b/memory.oom_control", "under_oom 0\noom_kill 1\n", 1),
            ("not told", "0::/c\n", "x/y", "", 5),
        ):
            with self.subTest(name):
                self.path(file, text)
                self.assertEqual(oom.kills(root, self.path("own", own)), want)
        self.assertEqual(oom.kills("/nowhere", "/nowhere"), 0)
        self.assertGreaterEqual(oom.kills(), 0)


class Hints(unittest.TestCase):
    def test_each_speaks_to_a_person(self):
        for pattern, hint in hints._KNOWN:
            with self.subTest(pattern.pattern):
                self.assertTrue(20 < len(hint) <= 200 and not hint.endswith("."), hint)
                self.assertIsNotNone(re.compile(pattern.pattern))


if __name__ == "__main__":
    unittest.main()
