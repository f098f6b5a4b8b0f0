"""What engines compile is kept on the node."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import unittest
from unittest import mock

from dynctl_agent.actor import caches, environ
from dynctl_agent.actor.caches import Caches

MONTH_AGO = time.time() - caches.UNUSED - 60


class Base(unittest.TestCase):
    def setUp(self):
        d = tempfile.TemporaryDirectory()
        self.addCleanup(d.cleanup)
        self.root = os.path.join(d.name, "not", "there", "yet")

    def part(self, name: str, used: float) -> str:
        part = os.path.join(self.root, name)
        os.makedirs(os.path.join(part, "vllm"))
        for file in (caches.LOCK, "vllm/kernel"):
            with open(os.path.join(part, file), "w") as f:
                f.write("x" * 10_000)
        os.utime(os.path.join(part, caches.LOCK), (used, used))
        return part


class Variables(Base):
    def test_units_of_one_image_and_card_share_a_part(self):
        one, other = Caches(self.root, ["0"]).variables({}), Caches(self.root, ["0"]).variables({})
        self.assertEqual((one, set(one)), (other, set(caches.VARIABLES)))
        self.assertEqual({os.path.dirname(d) for d in one.values()}, {os.path.join(self.root, caches.key(["0"]))})
        self.assertEqual(os.stat(self.root).st_mode & 0o777, 0o700, "what is compiled is executed")

    def test_other_packages_or_cards_have_another(self):
        with mock.patch.object(caches, "version", side_effect=lambda name: {"vllm": "0.31.0", "torch": "2.13.0"}.get(name, "")):
            with mock.patch.object(caches, "card_name", return_value="NVIDIA H200 (MIG 1g)"):
                a = caches.key(["0"])
            with mock.patch.object(caches, "card_name", return_value="NVIDIA H100"):
                b = caches.key(["0"])
        newer = {"vllm": "0.31.0", "torch": "2.13.0", "triton": "4"}
        with (
            mock.patch.object(caches, "version", side_effect=lambda name: newer.get(name, "")),
            mock.patch.object(caches, "card_name", return_value="NVIDIA H100"),
        ):
            c = caches.key(["0"])
        self.assertRegex(a, r"^vllm-0\.31\.0_torch-2\.13\.0_py3[0-9.]+_NVIDIA-H200-MIG-1g-_[0-9a-f]{8}$")
        self.assertEqual(len({a, b, c}), 3)

    def test_off(self):
        self.assertEqual(Caches("", ["0"]).variables({}), {})

    def test_what_the_node_says_counts(self):
        found = Caches(self.root, []).variables({"TRITON_CACHE_DIR": "/t"})
        self.assertNotIn("TRITON_CACHE_DIR", found)
        self.assertIn("VLLM_CACHE_ROOT", found)

    def test_what_the_spec_says_counts_and_the_default_gives_way(self):
        own = Caches(self.root, []).variables({})
        t = {"argv": ["-m", "dynamo.vllm"], "env": [{"name": "VLLM_CACHE_ROOT", "value": "/mine"}, dict(caches.FLASHINFER)]}
        env = environ.child_environment(environ.with_defaults(t, own), {"{RD}": "/rd"}, {}, ())
        self.assertEqual(env["VLLM_CACHE_ROOT"], "/mine")
        self.assertEqual(env["FLASHINFER_WORKSPACE_BASE"], own["FLASHINFER_WORKSPACE_BASE"])
        t["env"][1]["value"] = "/mine/too"
        env = environ.child_environment(environ.with_defaults(t, own), {"{RD}": "/rd"}, {}, ())
        self.assertEqual(env["FLASHINFER_WORKSPACE_BASE"], "/mine/too")
        env = environ.child_environment(environ.with_defaults({**t, "env": [caches.FLASHINFER]}, {}), {"{RD}": "/rd"}, {}, ())
        self.assertEqual(env["FLASHINFER_WORKSPACE_BASE"], "/rd/flashinfer")

    def test_somebody_else_s_directory_is_not_used(self):
        os.makedirs(os.path.dirname(self.root))
        os.symlink("/", self.root)
        with mock.patch.object(caches, "log") as log:
            self.assertEqual(Caches(self.root, []).variables({}), {})
        self.assertIn("a symbolic link", log.call_args.kwargs["error"])


class Bound(Base):
    def test_what_nothing_uses_for_a_month_goes(self):
        now = time.time()
        old, new, used = self.part("old", MONTH_AGO), self.part("new", now - 86400), self.part("used", MONTH_AGO)
        strange = os.path.join(self.root, "strange")
        os.makedirs(strange)
        os.utime(strange, (MONTH_AGO, MONTH_AGO))
        fd = caches.lock(used, fcntl.LOCK_SH)
        self.addCleanup(os.close, fd)
        Caches(self.root, []).variables({})
        self.assertEqual([os.path.exists(p) for p in (old, new, used, strange)], [False, True, True, True])

    def test_an_execution_is_a_use(self):
        own = Caches(self.root, [])
        own.variables({})
        file = os.path.join(self.root, caches.key([]), caches.LOCK)
        os.utime(file, (MONTH_AGO, MONTH_AGO))
        own.variables({})
        self.assertGreater(os.stat(file).st_mtime, MONTH_AGO + 86400)


class Size(Base):
    def test_it_is_told(self):
        self.assertIsNone(caches.measure(self.root))
        self.assertIsNone(caches.measure(""))
        a = self.part("a", time.time())
        self.part("b", time.time())
        told = caches.measure(self.root)
        self.assertEqual((told["directory"], told["parts"]), (self.root, 2))
        self.assertGreaterEqual(told["bytes"], 40_000)
        with open(os.path.join(a, "more"), "w") as f:
            f.write("x" * 100_000)
        self.assertEqual(caches.measure(self.root), told, "counted lately")
        os.utime(os.path.join(a, caches.SIZE), (1, 1))
        self.assertGreaterEqual(caches.measure(self.root)["bytes"], told["bytes"] + 100_000)


if __name__ == "__main__":
    unittest.main()
