"""The command lines that the nodes take."""

from __future__ import annotations

import asyncio
import base64
import gzip
import pathlib
import types
import unittest
from unittest import mock

from dynctl_agent.actor import flagtable
from dynctl_agent.job import parsers
from dynctl_agent.job.parsers import Parsers

SOURCE = parsers.RECORD_FLAGS.read_text("utf-8")
RECORDED = pathlib.Path(__file__).parents[3] / "state/engineflags/recorded"


def unpacked(found):
    return gzip.decompress(base64.b64decode(found["table"]))


class Read(unittest.TestCase):
    def test_the_mockers_own_parser(self):
        """What a node tells is what is recorded, for the release that is recorded."""
        found = flagtable.read(SOURCE, "mocker")
        self.assertEqual(unpacked(found), (RECORDED / "mocker.json").read_bytes())
        self.assertLessEqual(len(found["table"]), flagtable.MOST_STORED)

    def test_a_program_that_is_not_there(self):
        self.assertIn("vllm", flagtable.read(SOURCE, "vllm")["error"])

    def test_one_that_does_not_answer_is_ended_with_its_children(self):
        with mock.patch.object(flagtable, "TIMEOUT", 0.5):
            found = flagtable.read("import os, time; os.fork(); time.sleep(600)", "mocker")
        self.assertEqual(found, {"error": "no answer within 0 s"})

    def test_a_table_is_bounded(self):
        with mock.patch.object(flagtable, "MOST_STORED", 10):
            self.assertIn("more than", flagtable.packed(b"x" * 100)["error"])

    def test_what_a_table_rests_on(self):
        self.assertIsNone(parsers.key_of("vllm", {"python": "3.11", "dynamo": "1.6.0"}))
        self.assertEqual(parsers.key_of("vllm", {"python": "3", "dynamo": "1", "vllm": "2"}), ("vllm", "3", "1", "2"))


class Reading(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.asked, self.quiet, self.changes = [], True, 0
        self.error = ""

        async def read_flags(node, source, program):
            self.asked.append((node, program))
            return {"error": self.error} if self.error else {"digest": program, "table": "t"}

        world = types.SimpleNamespace(ray=types.SimpleNamespace(read_flags=read_flags), spawn=lambda work: asyncio.ensure_future(work))
        self.parsers = Parsers(world, lambda: self.quiet, lambda: setattr(self, "changes", self.changes + 1))

    async def look(self, times=6):
        with mock.patch.object(parsers, "SETTLED", 1e-9):
            for _ in range(times):
                self.parsers.look()
                for _ in range(5):
                    await asyncio.sleep(0)

    async def test_each_set_of_versions_is_read_once_on_one_node(self):
        for node in "ba":
            self.parsers.note(node, {"python": "3", "dynamo": "1.6.0"})
        self.parsers.note("c", {"python": "3", "dynamo": "1.6.0", "vllm": "0.31"})
        self.parsers.note("d", {"python": "3"})
        await self.look()
        self.assertEqual(sorted(self.asked), [("a", "frontend"), ("a", "mocker"), ("c", "vllm")])
        self.assertEqual(self.changes, 3)
        self.assertEqual(self.parsers.of("a")["mocker"], {"digest": "mocker", "table": "t"})
        self.assertEqual(self.parsers.of("b")["mocker"], {"digest": "mocker"})
        self.assertEqual(self.parsers.of("d"), {})
        # The node that had the tables is gone: the next one has them, and nothing is read again.
        self.assertTrue(self.parsers.note("a", None))
        await self.look()
        self.assertEqual(self.parsers.of("b")["mocker"], {"digest": "mocker", "table": "t"})
        self.assertEqual(len(self.asked), 3)

    async def test_another_release_is_read(self):
        self.parsers.note("a", {"python": "3", "dynamo": "1.6.0"})
        await self.look()
        self.assertTrue(self.parsers.note("a", {"python": "3", "dynamo": "1.6.1"}))
        self.assertEqual(self.parsers.of("a"), {})
        await self.look()
        self.assertEqual(len(self.asked), 4)

    async def test_nothing_is_read_while_something_starts_or_just_has(self):
        self.parsers.note("a", {"python": "3", "dynamo": "1.6.0"})
        self.quiet = False
        await self.look()
        self.assertEqual(self.asked, [])
        self.quiet = True
        self.parsers.look()  # with the time that it has to have been quiet for
        await asyncio.sleep(0)
        self.assertEqual(self.asked, [])

    async def test_what_failed_is_told_and_read_again_later(self):
        self.parsers.note("a", {"python": "3", "dynamo": "1.6.0"})
        self.error = "ImportError"
        await self.look()
        self.assertEqual((len(self.asked), self.parsers.of("a")["mocker"]), (2, {"error": "ImportError"}))
        self.error = ""
        with mock.patch.object(parsers.time, "monotonic", return_value=parsers.time.monotonic() + 2 * parsers.AGAIN):
            await self.look()
        self.assertEqual((len(self.asked), self.parsers.of("a")["mocker"]), (4, {"digest": "mocker", "table": "t"}))


if __name__ == "__main__":
    unittest.main()
