"""The end of a log, its rotation, and what is told about an exit."""

from __future__ import annotations

import os
import tempfile
import unittest

from dynctl_agent.actor import logs

from .vectors import rows


class Tail(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "x.log")

    def write(self, content: bytes) -> None:
        with open(self.path, "wb") as f:
            f.write(content)

    def test_vectors(self):
        for row in rows("log_tail"):
            case, want = row["input"], row["want"]
            with self.subTest(row["name"]):
                if case.get("fn") == "subprocess_error":
                    self.assertEqual(logs.exit_message(case["label"], case["log_tail"]), want["error"]["message"])
                    continue
                self.write(bytes.fromhex(case["content_hex"]))
                self.assertEqual(logs.read_tail(self.path, case["num_bytes"]), want["ok"])

    def test_no_file(self):
        self.assertEqual(logs.read_tail(self.path), "")

    def test_last_lines(self):
        self.assertEqual(logs.last_lines("".join(f"{n}\n" for n in range(60))), "\n".join(map(str, range(10, 60))))

    def test_previous_attempt_is_kept(self):
        logs.keep_previous(self.path)  # nothing there: nothing happens
        self.write(b"one")
        logs.keep_previous(self.path)
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual(logs.read_tail(self.path + ".1"), "one")

    def test_rotation_keeps_the_writer_going(self):
        with open(self.path, "ab", buffering=0) as writer:
            writer.write(b"a" * 100)
            self.assertFalse(logs.rotate_if_large(self.path, 101))
            self.assertTrue(logs.rotate_if_large(self.path, 100))
            writer.write(b"b")
        self.assertEqual(logs.read_tail(self.path), "b")
        self.assertEqual(logs.read_tail(self.path + ".1"), "a" * 100)


if __name__ == "__main__":
    unittest.main()
