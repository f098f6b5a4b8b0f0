"""Reading a log that is rotated, and that starts over with each attempt."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import types
import unittest

from dynctl_agent.actor import logread, logs
from dynctl_agent.actor.logread import Log, position
from dynctl_agent.actor.state import State
from dynctl_agent.actor.unit_actor import UnitActor
from dynctl_agent.job import logserve


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "x.log")

    def write(self, content: bytes, path: str = "") -> None:
        with open(path or self.path, "ab") as f:
            f.write(content)

    def first(self, attempt: int, lines: int) -> dict:
        return logread.first(Log(self.path, attempt, 0), lines)

    def follow(self, reply: dict, attempt: int, rotations: int = 0) -> list:
        """What comes after a reply, up to the end: [(attempt, text)], and the last reply."""
        pieces = []
        while True:
            reply = logread.read(Log(self.path, attempt, rotations), position(reply))
            if reply["text"]:
                pieces.append((reply["attempt"], reply["text"]))
            if not reply["more"]:
                self.reply = reply
                return pieces


class Begin(Files):
    def test_the_last_lines(self):
        for name, content, lines, want in (
            ("fewer than asked for", b"a\nb\n", 5, "a\nb\n"),
            ("as many", b"a\nb\n", 2, "a\nb\n"),
            ("more", b"a\nb\nc\n", 2, "b\nc\n"),
            ("an unfinished line counts", b"a\nb\nc", 2, "b\nc"),
            ("none", b"a\n", 0, ""),
            ("all", b"a\nb\n", -1, "a\nb\n"),
            ("empty lines count", b"a\n\n\n", 2, "\n\n"),
            ("nothing was written", b"", 5, ""),
            ("lines longer than a block", b"a\n" + b"x" * (logread.BLOCK + 7) + b"\n", 1, "x" * (logread.BLOCK + 7) + "\n"),
            ("a newline at a block's edge", b"a\n" + b"x" * (logread.BLOCK - 1) + b"\n", 1, "x" * (logread.BLOCK - 1) + "\n"),
        ):
            with self.subTest(name):
                if os.path.exists(self.path):
                    os.unlink(self.path)
                self.write(content)
                reply = self.first(1, lines)
                self.assertEqual((reply["text"], reply["offset"], reply["more"]), (want, len(content), False))

    def test_no_file(self):
        self.assertEqual(self.first(0, 5)["text"], "")

    def test_an_answer_fits_into_a_message(self):
        for name, content in (("plain", b"x" * 300_000), ("escapes", b"\x1b" * 300_000), ("wide", "中".encode() * 100_000), ("no UTF-8", b"\xff" * 300_000)):
            with self.subTest(name):
                self.write(content)
                reply = self.first(1, -1)
                self.assertTrue(reply["more"])
                self.assertLess(len(json.dumps(reply)), 256 << 10)
                text = reply["text"] + "".join(t for _, t in self.follow(reply, 1))
                self.assertEqual(text, content.decode("utf-8", "replace"))
                os.unlink(self.path)

    def test_a_character_that_is_not_finished_waits(self):
        cut = "é".encode()
        self.write(b"a" + cut[:1])
        reply = self.first(1, -1)
        self.assertEqual((reply["text"], reply["offset"]), ("a", 1))
        self.write(cut[1:])
        self.assertEqual(self.follow(reply, 1), [(1, "é")])

    def test_the_attempt_before(self):
        self.write(b"now\n")
        self.write(b"one\ntwo\n", self.path + ".1")
        reply = logread.previous(Log(self.path, 3, 0), None, 1)
        self.assertEqual((reply["text"], reply["attempt"], reply["more"]), ("two\n", 2, False))


class Follow(Files):
    def test_what_is_written(self):
        self.write(b"a\n")
        reply = self.first(1, 10)
        self.assertEqual(self.follow(reply, 1), [])
        self.write(b"b\n")
        self.assertEqual(self.follow(self.reply, 1), [(1, "b\n")])

    def rotate(self):
        self.assertTrue(logs.rotate_if_large(self.path, 1))

    def test_rotation(self):
        for name, before, after, rotations in (
            ("far behind", b"b\n", b"c and more\n", 1),
            ("ahead of the new file", b"b and more\n", b"", 1),
            ("not yet counted", b"b and more\n", b"", 0),
        ):
            with self.subTest(name):
                self.write(b"a\n")
                reply = self.first(1, 10)
                self.write(before)
                self.rotate()
                self.write(after)
                want = [(1, t.decode()) for t in (before, after) if t]
                self.assertEqual(self.follow(reply, 1, rotations), want)
                self.assertEqual(self.follow(self.reply, 1, 1), [], "nothing twice")
                os.unlink(self.path)

    def test_two_rotations_between_two_looks(self):
        self.write(b"a\n")
        reply = self.first(1, 10)
        self.rotate()
        self.write(b"lost\n")
        self.rotate()
        self.write(b"c\n")
        self.assertEqual(self.follow(reply, 1, 2), [(1, "c\n")])

    def test_another_attempt(self):
        self.write(b"a\n")
        reply = self.first(1, 10)
        self.write(b"b\n")
        logs.keep_previous(self.path)
        self.write(b"c\n")
        self.assertEqual(self.follow(reply, 2), [(1, "b\n"), (2, "c\n")])

    def test_after_an_attempt_that_wrote_nothing(self):
        self.write(b"zero\n", self.path + ".1")
        self.write(b"")
        reply = self.first(1, 10)
        logs.keep_previous(self.path)
        self.write(b"c\n")
        self.assertEqual(self.follow(reply, 2), [(2, "c\n")])

    def test_two_attempts_between_two_looks(self):
        self.write(b"a\n")
        reply = self.first(1, 10)
        for text in (b"b\n", b"c\n"):
            logs.keep_previous(self.path)
            self.write(text)
        self.assertEqual(self.follow(reply, 3), [(3, "c\n")])

    def test_a_recreated_actor_goes_on_with_the_file(self):
        self.write(b"a\n")
        reply = self.first(4, 10)
        self.write(b"b\n")
        self.assertEqual(self.follow(reply, 0), [(4, "b\n")])


class Plain(unittest.TestCase):
    def test_escapes(self):
        for name, text, want in (
            ("colours", "\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m x", "2026  INFO x"),
            ("a title", "\x1b]0;title\x07x", "x"),
            ("a link", "\x1b]8;;http://a\x1b\\text\x1b]8;;\x1b\\", "text"),
            ("a charset", "\x1b(Bx", "x"),
            ("nothing to strip", "a [0m b\n", "a [0m b\n"),
            ("an open title ends with its line at most", "\x1b]0;open\nnext", "\x1b]0;open\nnext"),
        ):
            with self.subTest(name):
                self.assertEqual(logs.plain(text), want)


class ActorMethod(Files, unittest.IsolatedAsyncioTestCase):
    def actor(self, attempt: int) -> UnitActor:
        actor = object.__new__(UnitActor)
        actor._store, actor._incarnation, actor._state = "s", 1, State()
        actor._state.change(attempt=attempt)
        actor._paths = lambda: (self.dir.name, self.path)
        return actor

    async def test_read_log(self):
        actor, caller = self.actor(1), {"storeId": "s", "incarnation": 1}
        self.write(b"a\nb\n")
        reply = await actor.read_log(caller, {"lines": 1})
        self.assertEqual((reply["text"], reply["path"]), ("b\n", self.path))
        self.write(b"c\n")
        self.assertEqual((await actor.read_log(caller, {**reply, "lines": 1}))["text"], "c\n")
        self.assertEqual((await actor.read_log(caller, {"lines": 5, "previous": True}))["text"], "")
        self.assertEqual(await actor.read_log({"storeId": "s", "incarnation": 0}, {"lines": 1}), {"stale": 1})


class Serve(unittest.IsolatedAsyncioTestCase):
    async def ask(self, actor, **request):
        unit = types.SimpleNamespace(actors={"a": actor} if actor else {})
        world = types.SimpleNamespace(
            units={("s", "u"): unit}, caller=dict, spawn=asyncio.ensure_future
        )
        data = json.dumps({"server": "s", "unit": "u", "actor": "a", "lines": 1, **request}).encode()
        return await logserve._reply(world, data)

    async def test_why_there_is_no_log(self):
        def actor(handle, live=True):
            return types.SimpleNamespace(handle=handle, live=live, state="Dead")

        for name, view, request, want in (
            ("no such actor", None, {}, "NotFound"),
            ("no such unit", actor(object()), {"unit": "x"}, "NotFound"),
            ("a dead actor", actor(None, False), {}, "ActorGone"),
            ("an actor of an older version", actor(object()), {}, "OldActor"),
            ("no object", actor(object()), {"server": []}, "BadRequest"),
        ):
            with self.subTest(name):
                self.assertEqual((await self.ask(view, **request))["error"]["reason"], want)


if __name__ == "__main__":
    unittest.main()
