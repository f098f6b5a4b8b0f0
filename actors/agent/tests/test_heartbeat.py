"""What the agent says of itself and of nodes."""

from __future__ import annotations

import os
import platform
import stat
import tempfile
import unittest

import ray
from dynctl_agent.job import about

from .fakecase import FakeCase
from .fakes import HEAD


class About(unittest.TestCase):
    def test_versions(self):
        versions = about.versions()
        self.assertEqual((versions["python"], versions["ray"]), (platform.python_version(), ray.__version__))
        self.assertRegex(versions["dynamo"], r"^\d+\.\d+\.\d+")
        self.assertEqual(about.version_of("no-such-distribution"), "")

    def test_binaries_are_found_where_actors_find_them(self):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            for directory, name in ((first, "etcd"), (second, "etcd"), (second, "nats-server")):
                path = os.path.join(directory, name)
                with open(path, "w", encoding="utf-8"):
                    os.chmod(path, stat.S_IRWXU)
            want = {"etcd": os.path.join(first, "etcd"), "nats-server": os.path.join(second, "nats-server")}
            self.assertEqual(about.binaries([first], {"PATH": second}), want)
            self.assertEqual(about.binaries([], {"PATH": ""}), {"etcd": "", "nats-server": ""})


class Values(FakeCase):
    async def test_the_agent(self):
        await self.new_agent()
        agent = self.nats.get("agent")
        self.assertEqual(set(agent["versions"]), {"python", "ray", "dynamo"})
        self.assertEqual(set(agent["binaries"]), {"etcd", "nats-server"})

    async def test_a_node_names_the_incarnation(self):
        for incarnation in (1, 2):
            await self.new_agent()
            self.assertEqual(self.nats.get(f"node.{HEAD}")["incarnation"], incarnation)
            await self.kill_agent()


if __name__ == "__main__":
    unittest.main()
