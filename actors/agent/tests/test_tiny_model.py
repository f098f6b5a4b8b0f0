"""The examples' model is made where everybody may make a name: nothing there is followed."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).parents[3] / "examples" / "tiny_model.py"


class TinyModel(unittest.TestCase):
    def setUp(self):
        base = tempfile.TemporaryDirectory()
        self.addCleanup(base.cleanup)
        self.target, self.victim = os.path.join(base.name, "model"), os.path.join(base.name, "victim")
        os.mkdir(self.victim)

    def run_script(self, *args: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, str(SCRIPT), *args, self.target], capture_output=True, text=True, check=False)

    def test_it_is_made_and_made_again(self):
        for _ in range(2):
            done = self.run_script()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(stat.S_IMODE(os.stat(self.target).st_mode), 0o755)
            self.assertIn("config.json", os.listdir(self.target))
            self.assertEqual(self.run_script("--check").returncode, 0)

    def test_a_link_is_refused(self):
        os.symlink(self.victim, self.target)
        for args in ((), ("--check",)):
            done = self.run_script(*args)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{self.target}: it is a symbolic link", done.stderr)
        self.assertEqual(os.listdir(self.victim), [])
        self.assertTrue(os.path.islink(self.target))

    def test_somebody_elses_is_refused(self):
        os.mkdir(self.target)
        code = f"import os, runpy, sys; os.geteuid = lambda: {os.geteuid() + 1}; sys.argv = [{str(SCRIPT)!r}, {self.target!r}]; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("it belongs to user", done.stderr)
        self.assertEqual(os.listdir(self.target), [])


if __name__ == "__main__":
    unittest.main()
