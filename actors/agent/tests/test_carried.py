"""etcd and nats-server that travel to a node that has neither."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tempfile
import unittest
import zipfile
from unittest import mock

from dynctl_agent.actor import carried, ownfile
from dynctl_agent.actor.environ import ExecError
from dynctl_agent.common.programs import carried_dir
from dynctl_agent.job import about

from .fakecase import FakeCase
from .test_nodehealth import SESSION


def package(files: dict[str, bytes]) -> tuple[str, bytes]:
    """A package as the reconciler names and makes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in files.items():
            z.writestr(name, content)
    return f"gcs://_ray_pkg{carried.digest(files)}.zip", out.getvalue()


SCRIPTS = {"etcd": b"#!/bin/sh\necho etcd\n", "nats-server": b"#!/bin/sh\necho nats\n"}


class Carried(unittest.TestCase):
    def setUp(self):
        session = tempfile.TemporaryDirectory()
        self.addCleanup(session.cleanup)
        self.session = session.name
        self.name, self.packed = package(SCRIPTS)
        self.fetched = 0

    def fetch(self, name):
        self.fetched += 1
        return self.packed if name == self.name else None

    def path(self, program, path=""):
        return carried.with_carried(program, path, self.name, self.session, self.fetch)

    def test_the_hash_is_that_of_the_reconciler(self):
        files = {"etcd": b"oneetcd", "nats-server": b"onenats-server"}  # as in actors/ray/programs_test.go
        self.assertEqual(package(files)[0], "gcs://_ray_pkg_095dfa5506832e3711ebefaea695a9c1.zip")

    def test_what_the_node_has_comes_first(self):
        with tempfile.TemporaryDirectory() as own:
            path = os.path.join(own, "etcd")
            with open(path, "w", encoding="utf-8"):
                os.chmod(path, stat.S_IRWXU)
            self.assertEqual(self.path("etcd", own), own)
        self.assertEqual(self.path("python", "/nowhere"), "/nowhere")
        self.assertEqual(self.fetched, 0)

    def test_they_are_fetched_once_and_run(self):
        for program, said in (("etcd", "etcd"), ("nats-server", "nats"), ("etcd", "etcd")):
            directory = self.path(program).split(os.pathsep)[-1]
            self.assertEqual(directory, carried_dir(self.session, self.name))
            out = subprocess.run([os.path.join(directory, program)], capture_output=True, text=True, check=True)
            self.assertEqual(out.stdout.strip(), said)
        self.assertEqual(self.fetched, 1)
        self.assertEqual(os.listdir(self.session), [os.path.basename(directory)])
        self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode), 0o700)

    def test_what_is_not_there_yet(self):
        self.packed = None
        with self.assertRaisesRegex(ExecError, "on their way"):
            self.path("etcd")

    def test_what_is_something_else_is_not_executed(self):
        for files in ({**SCRIPTS, "etcd": b"#!/bin/sh\necho no\n"}, {"etcd": b""}, {**SCRIPTS, "../x": b""}):
            self.packed = package(files)[1]
            with self.assertRaises(ExecError):
                self.path("etcd")
        self.packed = b"no zip"
        with self.assertRaises(ExecError):
            self.path("etcd")
        self.assertEqual(os.listdir(self.session), [])

    def test_a_directory_of_somebody_else_is_not_used(self):
        with tempfile.TemporaryDirectory() as other:
            os.symlink(other, carried_dir(self.session, self.name))
            with self.assertRaises(ownfile.UnsafePath):
                self.path("etcd")

    def test_two_at_the_same_time(self):
        def slow(name):
            carried.unpack(self.name, self.session, self.fetch)  # another actor was faster
            return self.fetch(name)

        with mock.patch("os.getpid", side_effect=[1, 2]):
            directory = carried.unpack(self.name, self.session, slow)
        self.assertEqual(sorted(os.listdir(directory)), ["etcd", "nats-server"])
        self.assertEqual(os.listdir(self.session), [os.path.basename(directory)])


class Wanted(unittest.TestCase):
    def told(self, session_dir, binaries, missed=False):
        found = about.About([], SESSION)
        found.package, found.session_dir, found.missed = "gcs://_ray_pkg_1.zip", session_dir, lambda: missed
        with mock.patch.object(about, "binaries", return_value=binaries):
            return found.value()["programs"]

    def test_as_long_as_a_node_lacks_them(self):
        none, both = {"etcd": "", "nats-server": ""}, {"etcd": "/e", "nats-server": "/n"}
        with tempfile.TemporaryDirectory() as session:
            self.assertTrue(self.told(session, none)["wanted"])
            self.assertTrue(self.told(session, {**both, "etcd": ""})["wanted"])
            self.assertFalse(self.told(session, both)["wanted"])
            self.assertTrue(self.told(session, both, missed=True)["wanted"])
            os.mkdir(os.path.join(session, "dynctl_programs_1"))
            self.assertEqual(self.told(session, none), {
                "package": "gcs://_ray_pkg_1.zip", "directory": os.path.join(session, "dynctl_programs_1"), "wanted": False,
            })


class Waiting(unittest.IsolatedAsyncioTestCase):
    async def test_until_the_package_is_there(self):
        found = about.About([], SESSION)
        found.package, found.session_dir, asked = "gcs://_ray_pkg_1.zip", "/nowhere", []

        async def stored(package):
            asked.append(package)
            return len(asked) == 3

        found.stored = stored
        for binaries, times in (({"etcd": "/e", "nats-server": "/n"}, 0), ({"etcd": "", "nats-server": ""}, 3)):
            found._looked_at = -about.EVERY
            with mock.patch.object(about, "binaries", return_value=binaries):
                await found.carried()
            self.assertEqual(asked, [found.package] * times)

    async def test_a_package_that_never_comes(self):
        found = about.About([], SESSION)
        found.package, found.missed = "gcs://_ray_pkg_1.zip", lambda: True
        found.stored = mock.AsyncMock(return_value=False)
        with mock.patch.object(about, "CARRYING", 0.3):
            await found.carried()
        found.stored.assert_awaited()


class Agent(FakeCase):
    async def test_without_a_package_nothing_is_said(self):
        await self.new_agent()
        self.assertNotIn("programs", self.nats.get("agent"))


if __name__ == "__main__":
    unittest.main()
